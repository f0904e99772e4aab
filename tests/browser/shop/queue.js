// The page's own file: commands given before the snippet is there wait in a queue.
window.funnel ||= (...command) => (funnel.q ||= []).push(command);
funnel('consent', 'granted');
funnel('view');
funnel('lead', { form: 'quiz', email: 'quiz@mail.example', phone: '+49 30 901820', value: 2.5, currency: 'EUR', colour: 'red' });
