// Page views, leads and the click that led here, sent to the collector that serves this file.
// docs/sending.md says how a page uses it. Comments and indentation are not served.
(() => {
  const { src, dataset: settings } = document.currentScript;
  const UTM = 'utm_source utm_medium utm_campaign utm_term utm_content'.split(' ');
  const PAGE = 'campaign affiliate offer creative sub1 sub2 sub3 sub4 sub5'.split(' ');
  const LEAD = [...PAGE, ...UTM, ...'form email phone value currency lead_id click_id'.split(' ')];

  const pick = (from, names) =>
    Object.fromEntries(names.map((name) => [name, from[name]]).filter(([, value]) => value));
  const random = (size, from = 'abcdefghijklmnopqrstuvwxyz234567') =>
    [...crypto.getRandomValues(new Uint8Array(size))].map((byte) => from[byte % from.length]).join('');

  // Storage may be forbidden, full, or written by others.
  const read = () => {
    try {
      return JSON.parse(localStorage.funnel);
    } catch {
      return {};
    }
  };
  // Without a change everything is forgotten.
  const write = (change) => {
    try {
      if (change) localStorage.funnel = JSON.stringify({ ...read(), ...change });
      else delete localStorage.funnel;
    } catch {}
  };
  // Without an entry the id is taken out.
  const keep = (id, entry) => {
    const queue = { ...read().queue, [id]: entry };
    granted && Object.keys(queue).length <= 20 && write({ queue });
  };

  const query = Object.fromEntries(new URLSearchParams(location.search));
  // Anybody can write a link: what the collector would refuse must not cost a lead.
  const match = (pattern, text = '') => (pattern.exec(text) || [''])[0];
  const click = match(/^[\w-]{1,200}$/, query.funnel_click);
  const utm = pick(query, UTM);
  for (const name in utm) utm[name] = utm[name].slice(0, 100);
  const MINTED = /^[a-z2-7]{30}$/;
  const handed = match(MINTED, query.funnel_visitor);
  // Otherwise on a minted click's route, so that the journey is in one place.
  const visitor = handed || (match(MINTED, click).slice(0, 4) || random(4)) + random(26);
  let journey = { at: Date.now(), visitor, click, utm };
  let consent;
  let granted;

  function decide(answer) {
    const objects = navigator.globalPrivacyControl || navigator.doNotTrack === '1';
    consent = objects ? 'denied' : ['granted', 'denied'].includes(answer) ? answer : 'unknown';
    granted = consent === 'granted';
    if (granted) remember();
    if (consent === 'denied') {
      write();
      // Somebody else from now on, as long as the page is open.
      journey = { visitor: random(30), click, utm };
    }
  }

  function remember() {
    const { queue, ...old } = read();
    // For 30 days from the last campaign.
    if (old.at > Date.now() - 2592e6)
      journey =
        click || utm.utm_source
          ? { ...journey, visitor: handed || old.visitor, click: click || old.click }
          : old;
    write(journey);
    for (const id in queue) deliver(queue[id]);
  }

  function post(path, fields) {
    const id = [8, 4, 4, 4, 12].map((count) => random(count, '0123456789abcdef')).join('-');
    const content = {
      ...fields,
      [granted ? 'site_visitor' : 'visitor']: journey.visitor,
      url: location.href.split('#')[0].slice(0, 2000),
      ref: document.referrer.slice(0, 2000),
      consent,
      event_id: id,
    };
    deliver({ id, at: Date.now(), tries: 0, path, content });
  }

  async function deliver(entry) {
    const { id, at, path, content } = entry;
    // For 20 hours: after 24 an id is new again, and what may have arrived would count twice.
    if (!(at > Date.now() - 72e6 && entry.tries < 10)) return keep(id);
    entry.tries++;
    keep(id, entry);
    const url = new URL(path, src);
    const body = new URLSearchParams(content);
    try {
      // A beacon outlives its page everywhere, but nobody learns what became of it.
      const { ok, status } = !('keepalive' in Request.prototype)
        ? { ok: navigator.sendBeacon(url, body) }
        : await fetch(url, {
            method: 'POST',
            body,
            credentials: granted ? 'include' : 'omit',
            keepalive: true,
            referrerPolicy: 'no-referrer',
          });
      // What is refused would be refused again.
      if (ok || status < 500) keep(id);
    } catch {}
  }

  const view = () => post('i.gif', pick(settings, PAGE));
  const lead = (fields) =>
    post('lead', pick({ ...settings, ...journey.utm, click_id: journey.click, ...fields }, LEAD));

  let last;
  function submit({ target: form }) {
    if (!form.matches('form[data-funnel=lead]')) return;
    const fields = Object.fromEntries(new FormData(form));
    fields.form ||= form.getAttribute('name') || form.id;
    fields.email ||= form.querySelector('[type=email]')?.value;
    // A second click on the button is no second lead.
    const content = JSON.stringify(fields);
    if (content !== last) lead(fields);
    last = content;
  }

  function start() {
    const early = window.funnel?.q || [];
    window.funnel = (name, value) =>
      ({ view, lead, login: (user_id) => post('identify', { user_id }), consent: decide })[name](value);
    decide(settings.consent);
    for (const call of early) funnel(...call);
    if (settings.view !== 'manual') view();
    addEventListener('submit', submit, true);
  }

  // A page that is made ready in advance has not been viewed yet.
  if (document.prerendering) document.addEventListener('prerenderingchange', start, { once: true });
  else start();
})();
