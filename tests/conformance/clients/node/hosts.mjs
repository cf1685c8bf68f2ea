// Host names, patterns and addresses (section 3), and the verdict on a chain (E2, E3, the state table). It may import
// values.mjs, and it never fetches anything.

import { isIP } from "node:net";
import { domainToASCII } from "node:url";

import { demand, Refused, sha256, Unavailable } from "./values.mjs";

function isAddressLike(name) {
  return name.includes(":") || /^[0-9]+$/.test(name.split(".").at(-1));
}

export function checkPattern(pattern) {
  const name = pattern.replace(/^\*{1,2}\./, "");
  if (isAddressLike(name)) {
    demand(name === pattern && spellAddress(name) === name, "MalformedError", "address");
    return;
  }
  const isLabel = (label) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(label);
  demand(name.length <= 253 && name.split(".").every(isLabel), "MalformedError", "pattern");
}

// The canonical spelling of an address, or null: dotted decimal, RFC 5952, mapped ones with a dotted end.
function spellAddress(text) {
  if (!text.includes(":")) {
    const numbers = /^[0-9]{1,9}(\.[0-9]{1,9}){3}$/.test(text) ? text.split(".").map(Number) : [256];
    return numbers.every((number) => number <= 255) ? numbers.join(".") : null;
  }
  if (text.includes("%") || isIP(text) !== 6) return null;
  const spelt = new URL(`http://[${text}]`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(spelt);
  if (!mapped) return spelt;
  const [high, low] = mapped.slice(1).map((part) => parseInt(part, 16));
  return `::ffff:${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}

function spellName(host) {
  const bare = host.replace(/^\[|\]$/g, "").split("%")[0];
  if (isAddressLike(bare)) return spellAddress(bare) ?? bare;
  return domainToASCII(host.replace(/\.$/, "").toLowerCase());
}

function findHost(pinset, name) {
  const labels = name.split(".");
  const above = labels.map((_, index) => labels.slice(index).join("."));
  const wild = isAddressLike(name) ? [] : [`*.${above[1] ?? ""}`, ...above.map((each) => `**.${each}`)];
  const hosts = new Map(pinset.hosts.map((host) => [host.host, host]));
  return hosts.get([name, ...wild].find((pattern) => hosts.has(pattern)));
}

export function check(trust, name, chain, now) {
  const [state, pinset] = [trust.state(now), trust.inForce("pinset")];
  if (!pinset) throw new Unavailable("no pin set is trusted");
  const host = findHost(pinset, spellName(name));
  if (!host) return "unpinned";
  const isReported = host.mode === "report";
  const isDenied = (pinset.deny ?? []).some((pin) => chain.includes(pin));
  if (state === "stale" && pinset.on_stale === "refuse" && !isReported) throw new Unavailable("the pin set is stale");
  if (state === "expired") {
    if (isReported) return "platform";
    if (host.on_expiry !== "platform") throw new Unavailable("the pin set has expired");
    demand(!isDenied, "PinMismatchError", "a denied key");
    return "platform";
  }
  const isAllowed = [...host.pins, ...host.backups].some((pin) => chain.includes(pin.sha256));
  if (isAllowed && !isDenied) return "matched";
  if (isReported) return "reported";
  throw new Refused(`PinMismatchError ${isDenied ? "a denied key" : "no allowed key"}`);
}

// The pins of a chain in PEM: each SubjectPublicKeyInfo cut out as it stands (section 10).
export function readChain(pem) {
  const blocks = [...pem.matchAll(/-----BEGIN CERTIFICATE-----([^-]*)-----END CERTIFICATE-----/g)];
  return blocks.map(([, body]) => sha256(cutSpki(Buffer.from(body, "base64"))).toString("base64"));
}

function element(der, at) {
  let [length, head] = [der[at + 1], 2];
  demand(length !== undefined && length !== 0x80, "MalformedError", "DER");
  if (length > 0x80) {
    const count = length & 0x7f;
    demand(count <= 4, "MalformedError", "DER");
    length = der.readUIntBE(at + 2, count);
    demand(length >= 0x80 && length >= 2 ** (8 * (count - 1)), "MalformedError", "DER");
    head += count;
  }
  demand(at + head + length <= der.length, "MalformedError", "DER");
  return { tag: der[at], content: at + head, end: at + head + length };
}

function cutSpki(der) {
  let at = element(der, element(der, 0).content).content;
  if (element(der, at).tag === 0xa0) at = element(der, at).end;
  for (let skipped = 0; skipped < 5; skipped += 1) at = element(der, at).end;
  demand(element(der, at).tag === 0x30, "MalformedError", "DER");
  return der.subarray(at, element(der, at).end);
}
