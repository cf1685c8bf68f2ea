// What is trusted: V4 to V7, V9, V10, C1 and C2 of docs/spec.md. It may import documents.mjs and values.mjs, and it
// touches neither network nor disk.

import { demandSigned, readDocument, readEnvelope } from "./documents.mjs";
import { demand, isList, isName, isObject, member, object, parse, Refused, sha256 } from "./values.mjs";

export const [BUNDLE_LIMIT, ROOT_LIMIT] = [2097152, 38229];
const DAY_MS = 86400000;

function compare({ document: one }, { document: other }) {
  return one.epoch - other.epoch || one.version - other.version;
}

function isNamed(pinset, timestamp) {
  const { epoch, version, length, sha256: digest } = timestamp.document.pinset;
  const { document, envelope } = pinset;
  const numbers = epoch === document.epoch && version === document.version && length === envelope.payload.length;
  return numbers && digest === sha256(envelope.payload).toString("base64");
}

export class Trust {
  constructor(rootBytes, name) {
    demand(isName(name), "MalformedError", "name");
    const envelope = readEnvelope(parse(rootBytes, ROOT_LIMIT), "root");
    const document = readDocument(envelope); // the only one that is read before its signatures
    demandSigned(envelope, document.roles.root);
    this.name = name;
    this.chain = [{ document, envelope }];
    this.adopted = null;
    this.floors = {};
  }

  get root() {
    return this.chain.at(-1).document;
  }

  role(kind, root = this.root) {
    if (kind !== "pinset") return root.roles[kind];
    const covers = (name) => (name.endsWith("*") ? this.name.startsWith(name.slice(0, -1)) : this.name === name);
    const grant = root.roles.pinset.find((each) => each.names.some(covers));
    demand(grant, "WrongPinSetError", "no grant");
    return grant;
  }

  isVouched(held, root = this.root) {
    try {
      const role = this.role(held.envelope.kind, root);
      demandSigned(held.envelope, role);
      return role.epoch === held.document.epoch;
    } catch (error) {
      if (error instanceof Refused) return false;
      throw error;
    }
  }

  takeRoot(envelope) {
    demandSigned(envelope, this.root.roles.root);
    const document = readDocument(envelope);
    demand(document.authority === this.root.authority, "WrongPinSetError", "authority");
    demand(document.version === this.root.version + 1, "RollbackError", "not the root that is due");
    demandSigned(envelope, document.roles.root);
    this.chain.push({ document, envelope });
  }

  // V9
  effective(now) {
    const held = [...Object.values(this.adopted ?? {}), ...Object.values(this.floors)];
    const isCurrent = ({ envelope, document }) => {
      try {
        return this.role(envelope.kind).epoch === document.epoch;
      } catch (error) {
        if (error instanceof Refused) return false;
        throw error;
      }
    };
    return Math.max(now, ...held.filter(isCurrent).map(({ document }) => document.issued));
  }

  judge(envelope, now, effective) {
    const role = this.role(envelope.kind);
    demandSigned(envelope, role);
    const document = readDocument(envelope);
    const held = { envelope, document };
    demand(this.root.expires > effective, "ExpiredError", "the root has ended");
    const isOurs = document.authority === this.root.authority && document.name === this.name;
    demand(isOurs, "WrongPinSetError", "authority or name");
    const seconds = (document.expires - document.issued) / 1000;
    demand(seconds > 0 && seconds <= role.max_lifetime_seconds, "ExpiredError", "length of life");
    demand(document.issued <= now + DAY_MS, "ExpiredError", "issued too far ahead");
    demand(document.expires > effective, "ExpiredError", `${envelope.kind} has ended`);
    demand(document.epoch === role.epoch, "RollbackError", "epoch");
    const floor = this.floors[envelope.kind];
    const above = floor ? compare(held, floor) : 1;
    demand(above >= 0, "RollbackError", "below the floor");
    demand(above > 0 || envelope.payload.equals(floor.envelope.payload), "EquivocationError", "two contents");
    return held;
  }

  takeBundle(bytes, now) {
    const frame = parse(bytes, BUNDLE_LIMIT);
    const roots = member(frame, "roots", isList);
    demand(roots.length <= 8, "MalformedError", "too many roots");
    const envelopes = roots.map((each) => readEnvelope(object(each), "root"));
    const stamped = readEnvelope(member(frame, "timestamp", isObject), "timestamp");
    const pinned = readEnvelope(member(frame, "pinset", isObject), "pinset");
    for (const envelope of envelopes) this.takeRoot(envelope);
    const effective = this.effective(now);
    const timestamp = this.judge(stamped, now, effective);
    demand(timestamp.document.root.version <= this.root.version, "StaleError", "a root is missing");
    const pinset = this.judge(pinned, now, effective);
    demand(isNamed(pinset, timestamp), "StaleError", "not the pin set that the timestamp names");
    this.adopted = { timestamp, pinset };
    this.floors = { timestamp, pinset };
  }

  // C1, C2 and V10, rule 3
  load(kept) {
    for (const each of kept.root) this.takeRoot(readEnvelope(each, "root"));
    const proved = { timestamp: [], pinset: [] };
    for (const kind of ["timestamp", "pinset"]) {
      for (const each of kept[kind]) {
        const envelope = readEnvelope(each, kind);
        const held = { envelope, document: readDocument(envelope) };
        const isOurs = held.document.authority === this.root.authority && held.document.name === this.name;
        if (isOurs && this.chain.some(({ document }) => this.isVouched(held, document))) proved[kind].push(held);
      }
      const highest = proved[kind].sort(compare).at(-1);
      if (highest) this.floors[kind] = highest;
    }
    const pairs = proved.timestamp.flatMap((timestamp) =>
      proved.pinset.filter((pinset) => isNamed(pinset, timestamp)).map((pinset) => ({ timestamp, pinset })),
    );
    const rank = ({ timestamp, pinset }) => [this.isVouched(pinset), this.isVouched(timestamp)].map(Number);
    pairs.sort((one, other) => {
      const [a, b] = [rank(one), rank(other)];
      return a[0] - b[0] || a[1] - b[1] || compare(one.timestamp, other.timestamp);
    });
    this.adopted = pairs.at(-1) ?? null;
  }

  kept() {
    const held = [...Object.values(this.adopted ?? {}), ...Object.values(this.floors)];
    const of = (kind) => held.filter(({ envelope }) => envelope.kind === kind).map(({ envelope }) => envelope.value);
    const root = this.chain.slice(1).map(({ envelope }) => envelope.value);
    return { root, timestamp: of("timestamp"), pinset: of("pinset") };
  }

  inForce(kind) {
    const held = this.adopted?.[kind];
    return held && this.isVouched(held) ? held.document : null;
  }

  state(now) {
    const [pinset, timestamp] = [this.inForce("pinset"), this.inForce("timestamp")];
    const effective = this.effective(now);
    if (!pinset) return "empty";
    if (effective >= pinset.expires) return "expired";
    return !timestamp || effective >= timestamp.expires ? "stale" : "fresh";
  }
}
