// Reads lists of formats 1 and 2 (docs/redis_format.md) straight from Redis or Valkey. Node 18 or later, no packages;
// one server, no cluster.
//
//   import { connect, LiveRelease } from "./reader.mjs";
//   const redis = await connect({ host: "127.0.0.1", port: 6379 });
//   const release = await LiveRelease.open(redis);          // open again every second or so: the live release changes
//   await release.cookie("1228");                           // { items: ["p1", "p2"], scores: [2, 1] } or null
//
// or: node reader.mjs redis://127.0.0.1:6379/0 cookie 1228

import net from "node:net";
import tls from "node:tls";
import { pathToFileURL } from "node:url";

const MASK = (1n << 64n) - 1n;
const [P1, P2, P3, P4, P5] = [
  0x9e3779b185ebca87n, 0xc2b2ae3d27d4eb4fn, 0x165667b19e3779f9n, 0x85ebca77c2b2ae63n, 0x27d4eb2f165667c5n,
];
const SEED = 42n;

const rotate = (x, r) => ((x << r) | (x >> (64n - r))) & MASK;
const round = (lane, input) => (rotate((lane + input * P2) & MASK, 31n) * P1) & MASK;

/** XXH64 with seed 42 of a Buffer, as an unsigned BigInt. */
export function xxh64(data, seed = SEED) {
  let at = 0;
  let hash;
  if (data.length >= 32) {
    const lanes = [seed + P1 + P2, seed + P2, seed, seed - P1].map((lane) => lane & MASK);
    for (; at + 32 <= data.length; at += 32) {
      for (let lane = 0; lane < 4; lane++) lanes[lane] = round(lanes[lane], data.readBigUInt64LE(at + 8 * lane));
    }
    hash = [1n, 7n, 12n, 18n].reduce((sum, r, lane) => sum + rotate(lanes[lane], r), 0n) & MASK;
    for (const lane of lanes) hash = ((hash ^ round(0n, lane)) * P1 + P4) & MASK;
  } else {
    hash = (seed + P5) & MASK;
  }
  hash = (hash + BigInt(data.length)) & MASK;
  for (; at + 8 <= data.length; at += 8) {
    hash = (rotate(hash ^ round(0n, data.readBigUInt64LE(at)), 27n) * P1 + P4) & MASK;
  }
  if (at + 4 <= data.length) {
    hash = (rotate(hash ^ ((BigInt(data.readUInt32LE(at)) * P1) & MASK), 23n) * P2 + P3) & MASK;
    at += 4;
  }
  for (; at < data.length; at++) hash = (rotate(hash ^ ((BigInt(data[at]) * P5) & MASK), 11n) * P1) & MASK;
  hash = ((hash ^ (hash >> 33n)) * P2) & MASK;
  hash = ((hash ^ (hash >> 29n)) * P3) & MASK;
  return hash ^ (hash >> 32n);
}

export const key64 = (text) => xxh64(Buffer.from(text, "utf8"));
export const contextKey64 = (location, device) => key64(`${location}\x1f${device}`);

/** Bucket (a number) and field (a Buffer) of a 64-bit key among `buckets`. */
export function bucketAndField(key, buckets) {
  const count = BigInt(buckets);
  const width = Math.ceil((MASK / count).toString(2).length / 8);
  const field = Buffer.alloc(8);
  field.writeBigUInt64BE(key / count);
  return { bucket: Number(key % count), field: field.subarray(8 - width) };
}

function varint(data, at) {
  for (let value = 0, scale = 1; ; scale *= 128) {
    if (at >= data.length || scale > 2 ** 28) throw new Error("not a record of format 1");
    const byte = data[at++];
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return [value, at];
  }
}

function half(bits) {
  const [sign, exponent, fraction] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 0x1f, bits & 0x3ff];
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return exponent === 31 ? sign * (fraction ? NaN : Infinity) : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** { ordinals, scores } of a record; scores is null if the record has none. */
export function decodeList(record) {
  let [head, at] = varint(record, 0);
  const count = Math.floor(head / 2);
  const ordinals = [];
  for (let item = 0; item < count; item++) {
    let ordinal;
    [ordinal, at] = varint(record, at);
    ordinals.push(ordinal);
  }
  let scores = head % 2 ? [] : null;
  if (scores && count) {
    const top = half(record.readUInt16LE(at));
    at += 2;
    scores = Array.from(record.subarray(at, at + count), (byte) => (top * byte) / 255);
    at += count;
  }
  if (at !== record.length) throw new Error("not a record of format 1");
  return { ordinals, scores };
}

/** The product ids of a dictionary chunk. */
export function decodeDictionary(chunk) {
  const ids = [];
  for (let at = 0; at < chunk.length; ) {
    let length;
    [length, at] = varint(chunk, at);
    ids.push(chunk.toString("utf8", at, (at += length)));
  }
  return ids;
}

/** The release that is live when it is opened. Its keys never change; open another when the pointer has moved. */
export class LiveRelease {
  constructor(redis, namespace, name, meta) {
    Object.assign(this, { redis, namespace, name, meta, chunks: new Map() });
    // Searched in this order: the delta's own lists, then the whole release that it lies over.
    this.layers = meta.format === 2 ? [meta, meta.base] : [meta];
  }

  static async open(redis, namespace = "larder") {
    const name = await redis.call("HGET", `${namespace}:live`, "release");
    if (!name) throw new Error(`no release is live in ${namespace}`);
    const meta = JSON.parse(await redis.call("GET", `${namespace}:${name}:meta`));
    if (meta.format !== 1 && meta.format !== 2) throw new Error(`format ${meta.format}; this reader knows 1 and 2`);
    return new LiveRelease(redis, namespace, name.toString(), meta);
  }

  cookie = (id) => this.list("c", key64(id));
  product = (id) => this.list("p", key64(id));
  /** For a product that has no list of its own: what sells in its category. */
  byCategory = (id) => this.list("s", key64(id));

  /** The first list that exists for: location and device, location, device, all. */
  async generic(location, device) {
    for (const pair of [[location, device], [location, ""], ["", device], ["", ""]]) {
      const found = await this.list("g", contextKey64(...pair));
      if (found) return found;
    }
    return null;
  }

  /** { items, scores } of a kind's 64-bit key, or null. */
  async list(kind, key) {
    const asked = this.layers.filter(({ buckets }) => kind in buckets).map(({ release, buckets }) => {
      const { bucket, field } = bucketAndField(key, buckets[kind]);
      return this.redis.call("HGET", `${this.namespace}:${release}:${kind}:${bucket.toString(16)}`, field);
    });
    const record = (await Promise.all(asked)).find((found) => found !== null);
    if (!record) return null;
    const { ordinals, scores } = decodeList(record);
    return { items: await Promise.all(ordinals.map((ordinal) => this.productId(ordinal))), scores };
  }

  async productId(ordinal) {
    const chunk = Math.floor(ordinal / this.meta.chunk);
    if (!this.chunks.has(chunk)) {
      const release = this.meta.format === 2 && chunk < this.meta.base.chunks ? this.meta.base.release : this.name;
      const read = this.redis.call("GET", `${this.namespace}:${release}:d:${chunk.toString(16)}`).then(decodeDictionary);
      this.chunks.set(chunk, read);
    }
    return (await this.chunks.get(chunk))[ordinal % this.meta.chunk];
  }
}

/** A connection with `call(...words)`, which gives a Buffer, number, array or null; commands may be pipelined. */
export async function connect({ host = "127.0.0.1", port = 6379, username, password, secure = false } = {}) {
  const socket = secure ? tls.connect({ host, port, servername: host }) : net.connect({ host, port });
  const waiting = [];
  let received = Buffer.alloc(0);
  const fail = (error) => waiting.splice(0).forEach(({ reject }) => reject(error));
  socket.on("error", fail).on("close", () => fail(new Error("connection closed")));
  socket.on("data", (data) => {
    received = Buffer.concat([received, data]);
    for (let reply; waiting.length && (reply = parse(received, 0)); received = received.subarray(reply.end)) {
      const { resolve, reject } = waiting.shift();
      reply.value instanceof Error ? reject(reply.value) : resolve(reply.value);
    }
  });
  const call = (...words) =>
    new Promise((resolve, reject) => {
      waiting.push({ resolve, reject });
      const parts = words.map((word) => (Buffer.isBuffer(word) ? word : Buffer.from(String(word))));
      const framed = parts.flatMap((part) => [Buffer.from(`$${part.length}\r\n`), part, Buffer.from("\r\n")]);
      socket.write(Buffer.concat([Buffer.from(`*${parts.length}\r\n`), ...framed]));
    });
  if (password) await call("AUTH", ...(username ? [username, password] : [password]));
  return { call, close: () => socket.end() };
}

/** One RESP2 reply at `at` and where it ends, or null if it is incomplete. */
function parse(data, at) {
  const lineEnd = data.indexOf("\r\n", at);
  if (lineEnd < 0) return null;
  const [kind, line, next] = [data[at], data.toString("utf8", at + 1, lineEnd), lineEnd + 2];
  if (kind === 0x2b) return { value: line, end: next }; // +
  if (kind === 0x2d) return { value: new Error(line), end: next }; // -
  if (kind === 0x3a) return { value: Number(line), end: next }; // :
  const length = Number(line);
  if (length < 0) return { value: null, end: next };
  if (kind === 0x24) {
    if (data.length < next + length + 2) return null;
    return { value: Buffer.from(data.subarray(next, next + length)), end: next + length + 2 };
  }
  const values = [];
  let end = next;
  for (let item = 0; item < length; item++) {
    const reply = parse(data, end);
    if (!reply) return null;
    values.push(reply.value);
    end = reply.end;
  }
  return { value: values, end };
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [url, route, ...ids] = process.argv.slice(2);
  const { hostname, port, username, password, protocol } = new URL(url);
  const secure = protocol === "rediss:";
  const options = { host: hostname, port: Number(port || 6379), secure };
  const decoded = { username: decodeURIComponent(username), password: decodeURIComponent(password) };
  const redis = await connect({ ...options, ...decoded });
  const release = await LiveRelease.open(redis);
  console.log(JSON.stringify(await release[route](...ids)));
  redis.close();
}
