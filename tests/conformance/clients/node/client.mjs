// A client in another language, by docs/spec.md, with nothing but what Node brings. It shares no line with any other
// client here. It is small rather than friendly, keeps its folder without a lock, and is not for use.
//
//   node client.mjs --state-dir D [--now TIME] init ROOT --url URL --pinset NAME | refresh | check HOST --chain FILE
//   node client.mjs --stay     reads such command lines from stdin, one JSON list a line, and answers each with a line

import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import path from "node:path";
import readline from "node:readline";
import { parseArgs } from "node:util";

import { readEnvelope } from "./documents.mjs";
import { check, readChain } from "./hosts.mjs";
import { BUNDLE_LIMIT, ROOT_LIMIT, Trust } from "./trust.mjs";
import { parse, Refused, Unavailable } from "./values.mjs";

const [ACCEPTED, REFUSED, MISUSE, UNAVAILABLE] = [0, 1, 2, 3];
const [DEADLINE_MS, WALK] = [10000, 256];

function get(url, limit) {
  return new Promise((resolve, reject) => {
    const fail = (message, status) => reject(new Unavailable(`${url}: ${message}`, status));
    const client = url.startsWith("https:") ? https : http;
    const request = client.get(url, { agent: false, signal: AbortSignal.timeout(DEADLINE_MS) }, (response) => {
      const pieces = [];
      let length = 0;
      response.on("error", (error) => fail(error.message));
      response.on("data", (piece) => {
        pieces.push(piece);
        length += piece.length;
        if (length > limit) {
          reject(new Refused("MalformedError longer than any such answer"));
          request.destroy();
        }
      });
      response.on("end", () => {
        if (response.statusCode !== 200) fail(`status ${response.statusCode}`, response.statusCode);
        else if (/^text\/html\b/i.test(response.headers["content-type"] ?? "")) fail("a web page");
        else if (!response.complete) fail("cut off");
        else resolve(Buffer.concat(pieces));
      });
    });
    request.on("error", (error) => fail(error.message));
  });
}

async function orNothing(promise) {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof Unavailable && error.status === 404) return null;
    throw error;
  }
}

async function refresh(folder, now) {
  const { url, trust } = open(folder);
  const bundle = () => get(`${url}/v1/bundles/${trust.name}/${trust.root.version}`, BUNDLE_LIMIT);
  let bytes = await orNothing(bundle());
  if (bytes === null) {
    const before = trust.root.version;
    for (let taken = 0; taken < WALK; taken += 1) {
      const root = await orNothing(get(`${url}/v1/roots/${trust.root.version + 1}`, ROOT_LIMIT));
      if (root === null) break;
      trust.takeRoot(readEnvelope(parse(root, ROOT_LIMIT), "root"));
      keep(folder, trust);
    }
    if (trust.root.version === before) throw new Unavailable("the server does not know this name");
    bytes = await bundle();
  }
  try {
    trust.takeBundle(bytes, now);
  } finally {
    keep(folder, trust);
  }
}

function found(folder, root, url, pinset) {
  new Trust(root, pinset);
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, "root.json"), root);
  writeFileSync(path.join(folder, "settings.json"), JSON.stringify({ url, pinset }));
}

function open(folder) {
  const file = (name) => path.join(folder, name);
  if (!existsSync(file("settings.json"))) throw new Unavailable("the folder was not founded");
  const { url, pinset } = JSON.parse(readFileSync(file("settings.json"), "utf8"));
  const trust = new Trust(readFileSync(file("root.json")), pinset);
  if (existsSync(file("kept.json"))) trust.load(JSON.parse(readFileSync(file("kept.json"), "utf8")));
  return { url, trust };
}

function keep(folder, trust) {
  writeFileSync(path.join(folder, "kept.tmp"), JSON.stringify(trust.kept()));
  renameSync(path.join(folder, "kept.tmp"), path.join(folder, "kept.json"));
}

async function run(given) {
  const text = { type: "string" };
  const options = { "state-dir": text, now: text, url: text, pinset: text, chain: text };
  const { values, positionals } = parseArgs({ args: given, options, allowPositionals: true });
  const [command, argument] = positionals;
  const folder = values["state-dir"];
  const now = values.now ? Date.parse(values.now) : Date.now();
  if (!folder) return [MISUSE, "--state-dir is missing"];
  try {
    switch (command) {
      case "init":
        found(folder, readFileSync(argument), values.url, values.pinset);
        return [ACCEPTED, ""];
      case "refresh":
        await refresh(folder, now);
        return [ACCEPTED, ""];
      case "check":
        return [ACCEPTED, check(open(folder).trust, argument, readChain(readFileSync(values.chain, "latin1")), now)];
      default:
        return [MISUSE, `no such command: ${command}`];
    }
  } catch (error) {
    if (error instanceof Refused) return [REFUSED, `refused: ${error.message}`];
    if (error instanceof Unavailable) return [UNAVAILABLE, `unavailable: ${error.message}`];
    return [70, `broken: ${error.stack}`]; // not the 1 with which Node itself would end
  }
}

if (process.argv[2] === "--stay") {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [code, said] = await run(JSON.parse(line));
    process.stdout.write(`${JSON.stringify({ code, said })}\n`);
  }
} else {
  const [code, said] = await run(process.argv.slice(2));
  if (said) console.error(said);
  process.exitCode = code;
}
