/**
 * A small signer of S3 requests, for what no SDK sends: presigned URLs with any time, signed chunks, wrong signatures.
 * Written from AWS's documentation on its own, so that it agrees with the server only where both are right.
 */
import { createHash, createHmac } from "node:crypto";
import { request as httpRequest, type IncomingMessage } from "node:http";
import type { TestS3 } from "./s3.ts";

export interface RawRequest {
  method?: string;
  /** As it goes out: encoded. */
  path: string;
  /** Decoded names and values. */
  query?: Record<string, string>;
  headers?: Record<string, string>;
  body?: Buffer | string;
  /** Default: now. */
  time?: Date;
  /** Default: the body's SHA-256. */
  payload?: string;
  region?: string;
}

export interface RawAnswer {
  status: number;
  headers: IncomingMessage["headers"];
  body: string;
}

/** Everything that a chunk's signature hangs on. */
export interface Signed {
  headers: Record<string, string>;
  url: string;
  signature: string;
  timestamp: string;
  scope: string;
  key: Buffer;
}

const sha256 = (text: string | Buffer) => createHash("sha256").update(text).digest("hex");
const hmac = (key: string | Buffer, text: string) => createHmac("sha256", key).update(text).digest();
const encode = (text: string) =>
  encodeURIComponent(text).replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);

/** Signs with headers. */
export function sign(store: TestS3, request: RawRequest): Signed {
  const { method = "GET", path, query = {}, body = "", region = store.region } = request;
  const timestamp = (request.time ?? new Date()).toISOString().replace(/\.\d+|[-:]/g, "");
  const payload = request.payload ?? sha256(body);
  const { host } = new URL(store.endpoint);
  const headers: Record<string, string> = {
    ...request.headers,
    host,
    "x-amz-content-sha256": payload,
    "x-amz-date": timestamp,
  };
  const { key, scope } = keyOf(store, timestamp, region);
  const { names, signature } = signatureOf({ method, path, query, headers, payload }, timestamp, scope, key);
  const credential = `Credential=${store.accessKeyId}/${scope}`;
  return {
    headers: {
      ...headers,
      authorization: `AWS4-HMAC-SHA256 ${credential}, SignedHeaders=${names}, Signature=${signature}`,
    },
    url: urlOf(store, path, query),
    signature,
    timestamp,
    scope,
    key,
  };
}

/** A URL that needs no header. */
export function presign(store: TestS3, request: RawRequest & { expires?: number }): string {
  const { method = "GET", path, region = store.region } = request;
  const timestamp = (request.time ?? new Date()).toISOString().replace(/\.\d+|[-:]/g, "");
  const { host } = new URL(store.endpoint);
  const headers: Record<string, string> = { ...request.headers, host };
  const { key, scope } = keyOf(store, timestamp, region);
  const query: Record<string, string> = {
    ...request.query,
    "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
    "X-Amz-Credential": `${store.accessKeyId}/${scope}`,
    "X-Amz-Date": timestamp,
    "X-Amz-Expires": String(request.expires ?? 900),
    "X-Amz-SignedHeaders": Object.keys(headers).sort().join(";"),
  };
  const { signature } = signatureOf(
    { method, path, query, headers, payload: "UNSIGNED-PAYLOAD" },
    timestamp,
    scope,
    key,
  );
  return urlOf(store, path, { ...query, "X-Amz-Signature": signature });
}

/** Sends a signed request as it is. */
export async function send(store: TestS3, request: RawRequest): Promise<RawAnswer> {
  const { url, headers } = sign(store, request);
  return sendRaw(url, { method: request.method ?? "GET", headers, body: request.body ?? "" });
}

/** Sends a request without a touch of fetch, which has ideas of its own about headers and paths. */
export function sendRaw(
  url: string,
  {
    method = "GET",
    headers = {},
    body = "",
  }: { method?: string; headers?: Record<string, string>; body?: Buffer | string },
): Promise<RawAnswer> {
  const { hostname, port } = new URL(url);
  const path = url.slice(url.indexOf("/", "http://".length));
  return new Promise((resolve, reject) => {
    const length =
      Buffer.byteLength(body) > 0 || method === "PUT" ? { "content-length": String(Buffer.byteLength(body)) } : {};
    const request = httpRequest({ hostname, port, path, method, headers: { ...length, ...headers } }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on("data", (chunk: Buffer) => chunks.push(chunk));
      answer.on("error", reject);
      answer.on("end", () =>
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(chunks).toString() }),
      );
    });
    request.on("error", reject);
    request.end(body);
  });
}

/** A body in signed chunks of `size` bytes; with trailers, these are signed as well. */
export function signedChunks(
  signed: Signed,
  body: Buffer,
  size: number,
  trailers: Record<string, string> = {},
): Buffer {
  let previous = signed.signature;
  const pieces: Buffer[] = [];
  for (let at = 0; ; at += size) {
    const chunk = body.subarray(at, at + size);
    const text = ["AWS4-HMAC-SHA256-PAYLOAD", signed.timestamp, signed.scope, previous, sha256(""), sha256(chunk)];
    previous = hmac(signed.key, text.join("\n")).toString("hex");
    pieces.push(Buffer.from(`${chunk.length.toString(16)};chunk-signature=${previous}\r\n`), chunk);
    if (chunk.length > 0) pieces.push(Buffer.from("\r\n"));
    else break;
  }
  const lines = Object.entries(trailers);
  if (lines.length > 0) {
    const canonical = lines.map(([name, value]) => `${name}:${value}\n`).join("");
    const text = ["AWS4-HMAC-SHA256-TRAILER", signed.timestamp, signed.scope, previous, sha256(canonical)];
    const signature = hmac(signed.key, text.join("\n")).toString("hex");
    for (const [name, value] of lines) pieces.push(Buffer.from(`${name}:${value}\r\n`));
    pieces.push(Buffer.from(`x-amz-trailer-signature:${signature}\r\n`));
  }
  pieces.push(Buffer.from("\r\n"));
  return Buffer.concat(pieces);
}

function keyOf(store: TestS3, timestamp: string, region: string) {
  const date = timestamp.slice(0, 8);
  const scope = `${date}/${region}/s3/aws4_request`;
  const key = hmac(hmac(hmac(hmac(`AWS4${store.secretAccessKey}`, date), region), "s3"), "aws4_request");
  return { key, scope };
}

interface Parts {
  method: string;
  path: string;
  query: Record<string, string>;
  headers: Record<string, string>;
  payload: string;
}

function signatureOf({ method, path, query, headers, payload }: Parts, timestamp: string, scope: string, key: Buffer) {
  const sorted = Object.keys(headers).sort();
  const names = sorted.join(";");
  const lines = sorted.map((name) => `${name}:${headers[name]?.trim()}\n`).join("");
  const canonical = [method, path, queryText(query), lines, names, payload].join("\n");
  const text = ["AWS4-HMAC-SHA256", timestamp, scope, sha256(canonical)].join("\n");
  return { names, signature: hmac(key, text).toString("hex") };
}

function queryText(query: Record<string, string>): string {
  return Object.entries(query)
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .sort()
    .join("&");
}

function urlOf(store: TestS3, path: string, query: Record<string, string>): string {
  const text = queryText(query);
  return `${store.endpoint}${path}${text === "" ? "" : `?${text}`}`;
}
