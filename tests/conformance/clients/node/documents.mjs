// Envelopes and the three documents: sections 2 and 3, V1 to V3 and V8 of docs/spec.md. It may import values.mjs and
// hosts.mjs, and it never decides whether a document is the one that is due.

import { createPublicKey, verify } from "node:crypto";

import { checkPattern } from "./hosts.mjs";
import * as values from "./values.mjs";

const { base64, demand, isInteger, isList, isName, isObject, isText, isTexts } = values;
const { matches, member, oneOf, parse, Refused, sha256, time } = values;
const LIMITS = { root: 16384, timestamp: 4096, pinset: 1048576 };
const SPKI_HEAD = Buffer.from("302a300506032b6570032100", "hex");
const PRIME = (1n << 255n) - 19n;
const ORDER_8 = BigInt("0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826");
const SMALL_ORDER = [0n, 1n, PRIME - 1n, ORDER_8, PRIME - ORDER_8]; // V1; the sign of x does not matter

export function readEnvelope(value, kind) {
  const type = `application/vnd.pinwarden.${kind}.v1+json`;
  member(value, "payloadType", (given) => given === type);
  const payload = base64(member(value, "payload", isText));
  demand(payload.length <= LIMITS[kind], "MalformedError", "payload too long");
  const signatures = member(value, "signatures", isList);
  demand(signatures.length <= 16, "MalformedError", "too many signatures");
  for (const entry of signatures) {
    member(entry, "keyid", isText);
    member(entry, "sig", isText);
  }
  const keyids = new Set(signatures.map((entry) => entry.keyid));
  demand(keyids.size === signatures.length, "SignatureError", "a keyid twice");
  const signed = Buffer.concat([Buffer.from(`DSSEv1 ${type.length} ${type} ${payload.length} `), payload]);
  return { kind, payload, signatures, signed, value };
}

function isSignedBy(entry, usable, signed) {
  try {
    const key = usable.get(entry.keyid);
    return key !== undefined && verify(null, signed, key, base64(entry.sig, 64));
  } catch (error) {
    if (error instanceof Refused) return false;
    throw error;
  }
}

export function demandSigned(envelope, role) {
  const good = envelope.signatures.filter((entry) => isSignedBy(entry, role.usable, envelope.signed));
  demand(good.length >= role.threshold, "SignatureError", `${envelope.kind}: ${good.length} of ${role.threshold}`);
}

export function readDocument(envelope) {
  const value = parse(envelope.payload, LIMITS[envelope.kind]);
  member(value, "type", oneOf(envelope.kind));
  member(value, "spec", matches(/^1\.[0-9]{1,4}$/));
  demand(member(value, "crit", isTexts, []).length === 0, "MalformedError", "a feature that this client lacks");
  member(value, "authority", matches(/^[a-z0-9-]{0,48}[0-9a-f]{16}$/));
  member(value, "version", isInteger);
  const document = { ...value, issued: time(value, "issued"), expires: time(value, "expires") };
  if (envelope.kind !== "root") {
    member(value, "name", isName);
    member(value, "epoch", isInteger);
  }
  ({ root: checkRoot, timestamp: checkTimestamp, pinset: checkPinset })[envelope.kind](document);
  return document;
}

function readKey(keyid, entry) {
  if (member(entry, "scheme", isText) !== "ed25519") return null;
  const spki = Buffer.concat([SPKI_HEAD, base64(member(entry, "public", isText), 32)]);
  demand(sha256(spki).toString("hex") === keyid, "SignatureError", "keyid");
  const y = BigInt(`0x${Buffer.from(spki.subarray(12)).reverse().toString("hex")}`) & ((1n << 255n) - 1n);
  demand(y < PRIME && !SMALL_ORDER.includes(y), "SignatureError", "a key that nobody may use");
  return createPublicKey({ key: spki, format: "der", type: "spki" });
}

function checkRoot(root) {
  const keys = new Map(Object.entries(member(root, "keys", isObject)).map(([id, entry]) => [id, readKey(id, entry)]));
  const roles = member(root, "roles", isObject);
  const grants = member(roles, "pinset", isList);
  const online = [member(roles, "timestamp", isObject), ...grants];
  for (const role of [member(roles, "root", isObject), ...online]) {
    const keyids = member(role, "keyids", isTexts);
    demand(new Set(keyids).size === keyids.length && keyids.every((id) => keys.has(id)), "SignatureError", "keyids");
    role.usable = new Map(keyids.filter((id) => keys.get(id)).map((id) => [id, keys.get(id)]));
    demand(member(role, "threshold", isInteger) <= role.usable.size, "SignatureError", "threshold");
  }
  for (const role of online) for (const name of ["epoch", "max_lifetime_seconds"]) member(role, name, isInteger);
  for (const grant of grants) {
    const isCovering = (name) => isName(name) || name === "*" || (name.endsWith("*") && isName(name.slice(0, -1)));
    demand(member(grant, "names", isTexts).every(isCovering), "MalformedError", "names of a grant");
  }
}

function checkTimestamp(timestamp) {
  member(member(timestamp, "root", isObject), "version", isInteger);
  const named = member(timestamp, "pinset", isObject);
  for (const name of ["epoch", "version", "length"]) member(named, name, isInteger);
  base64(named.sha256, 32);
}

function checkPinset(pinset) {
  const hosts = member(pinset, "hosts", isList);
  const deny = new Set(member(pinset, "deny", isList, []).map((pin) => base64(pin, 32).toString("base64")));
  demand(hosts.length <= 2000 && (pinset.deny ?? []).length <= 256, "MalformedError", "too many");
  const onStale = member(pinset, "on_stale", oneOf("enforce", "refuse"), "enforce");
  if (Object.hasOwn(pinset, "report_to")) checkReportAddress(pinset.report_to);
  for (const host of hosts) {
    checkPattern(member(host, "host", isText));
    member(host, "mode", oneOf("enforce", "report"), "enforce");
    demand(member(host, "enforce_percent", isInteger, 100) <= 100, "MalformedError", "enforce_percent");
    const onExpiry = member(host, "on_expiry", oneOf("refuse", "platform"), "refuse");
    demand(onStale !== "refuse" || onExpiry !== "platform", "MalformedError", "blocked updates would end pinning");
    const [pins, backups] = ["pins", "backups"].map((name) => member(host, name, isList));
    const spelt = [...pins, ...backups].map((pin) => {
      member(pin, "kind", oneOf("leaf", "ca"));
      return base64(pin.sha256, 32).toString("base64");
    });
    demand(pins.length && backups.length && spelt.length <= 32, "MalformedError", "number of pins");
    const inService = new Set(spelt.slice(0, pins.length));
    demand(!spelt.slice(pins.length).some((pin) => inService.has(pin)), "MalformedError", "a pin is a backup");
    demand(!spelt.some((pin) => deny.has(pin)), "MalformedError", "a pin is denied");
  }
  demand(new Set(hosts.map((host) => host.host)).size === hosts.length, "MalformedError", "a host twice");
}

function checkReportAddress(address) {
  const isUsual = isText(address) && address.length <= 2048 && /^https:\/\/[!-~]+$/i.test(address);
  demand(isUsual, "MalformedError", "report_to");
  const authority = address.slice(8).split(/[/?#]/)[0];
  const parts = /^(\[[0-9a-fA-F:.]+\]|[^:[\]@]+)(?::([0-9]+))?$/.exec(authority);
  demand(parts && (parts[2] === undefined || (parts[2] >= 1 && parts[2] <= 65535)), "MalformedError", "report_to");
}
