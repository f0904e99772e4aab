// What the unmodified official client for Node makes of a server: the address on stdin, what it got on stdout, as JSON.
import { readFileSync } from "node:fs";
import { createClient } from "@clickhouse/client";

const where = JSON.parse(readFileSync(0, "utf8"));
const silent = { log: { level: 127 } };

async function exercise(packed, session) {
  const client = createClient({
    ...where, ...silent, session_id: session, compression: { request: packed, response: packed },
  });
  const rows = Array.from({ length: 1000 }, (_, n) => ({ a: n, b: `text ü ${n}` }));
  await client.command({ query: "CREATE OR REPLACE TABLE n (a UInt32, b String) ENGINE = MergeTree ORDER BY a" });
  const inserted = await client.insert({ table: "n", values: rows, format: "JSONEachRow" });
  const read = await client.query({
    query: "SELECT * FROM n WHERE a >= {least:UInt32} ORDER BY a", query_params: { least: 0 }, format: "JSONEachRow",
  });
  const counted = await client.query({ query: "SELECT toUInt32(count()) AS n FROM n" });
  const result = {
    ping: (await client.ping()).success,
    written: inserted.summary.written_rows,
    same: JSON.stringify(await read.json()) === JSON.stringify(rows),
    counted: (await counted.json()).data,
    streamed: await streamed(client),
    unknown: await failure(client, "SELECT * FROM no_such_table"),
    later: await failure(client, "SELECT throwIf(number = 3000000) FROM numbers(4000000)"),
  };
  await client.close();
  return result;
}

async function streamed(client) {
  const answer = await client.query({ query: "SELECT number FROM numbers(300000)", format: "JSONCompactEachRow" });
  let rows = 0;
  for await (const batch of answer.stream()) rows += batch.length;
  return rows;
}

async function failure(client, query) {
  try {
    const answer = await client.query({ query, format: "CSV" });
    for await (const _ of answer.stream());
  } catch (error) {
    return error.code;
  }
}

console.log(JSON.stringify({ plain: await exercise(false, "node-1"), packed: await exercise(true, undefined) }));
