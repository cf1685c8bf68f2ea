// From bytes to values: P1 to P6 of docs/spec.md. It imports nothing of its own, and it never guesses: what is wrong
// refuses.

import { createHash } from "node:crypto";

const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/;

export class Refused extends Error {}
export class Unavailable extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export function demand(holds, kind = "MalformedError", message = "") {
  if (!holds) throw new Refused(`${kind} ${message}`);
}

export function parse(bytes, limit) {
  demand(bytes.length <= limit, "MalformedError", "too long");
  let value;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (error) {
    demand(false, "MalformedError", error.message);
  }
  return object(value);
}

export const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
export const sha256 = (bytes) => createHash("sha256").update(bytes).digest();

export function object(value) {
  demand(isObject(value), "MalformedError", "expected an object");
  return value;
}

// A member that is absent has its default; without one it is required.
export function member(value, name, check, fallback) {
  if (!Object.hasOwn(object(value), name)) {
    demand(fallback !== undefined, "MalformedError", `${name} is missing`);
    return fallback;
  }
  demand(check(value[name]), "MalformedError", `${name} is wrong`);
  return value[name];
}

export const isText = (value) => typeof value === "string";
export const isList = (value) => Array.isArray(value);
export const isTexts = (value) => isList(value) && value.every(isText);
export const isInteger = (value) => Number.isSafeInteger(value) && value >= 1;
export const isName = (value) => isText(value) && NAME.test(value);
export const matches = (pattern) => (value) => isText(value) && pattern.test(value);
export const oneOf = (...words) => (value) => words.includes(value);

export function base64(text, length) {
  demand(isText(text), "MalformedError", "base64 must be text");
  const bytes = Buffer.from(text, "base64");
  demand(bytes.toString("base64") === text, "MalformedError", "base64 is not canonical");
  demand(length === undefined || bytes.length === length, "MalformedError", "wrong length");
  return bytes;
}

export function time(value, name) {
  const pattern = /^(?!0000)[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z$/;
  const text = member(value, name, matches(pattern));
  const parsed = new Date(text);
  const exists = !Number.isNaN(parsed.getTime()) && parsed.toISOString() === text.replace("Z", ".000Z");
  demand(exists, "MalformedError", `${name} does not exist`);
  return parsed.getTime();
}
