/**
 * AWS Signature Version 4: the pure part. What is signed, and with which key.
 * Source: "Authenticating Requests (AWS Signature Version 4)" of the Amazon S3 API reference; its examples are tests.
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { encode, encodePath } from "./uri.ts";

export const ALGORITHM = "AWS4-HMAC-SHA256";
export const EMPTY_SHA256 = sha256("");

/** The day, region and service that a key is made for. */
export interface Scope {
  /** yyyymmdd */
  date: string;
  region: string;
  service: string;
}

export interface CanonicalRequest {
  method: string;
  /** Decoded path, or as it came where that cannot be decoded. */
  path: string;
  /** Decoded pairs, without X-Amz-Signature. */
  query: readonly (readonly [string, string])[];
  /** Lower-case names in the order in which the client listed them, with all of their values. */
  headers: readonly (readonly [string, string])[];
  /** `x-amz-content-sha256`, or UNSIGNED-PAYLOAD. */
  payload: string;
}

export function canonicalText(request: CanonicalRequest): string {
  const query = request.query
    .map(([name, value]) => [encode(name), encode(value)] as const)
    .sort(([a, x], [b, y]) => compare(a, b) || compare(x, y))
    .map(([name, value]) => `${name}=${value}`)
    .join("&");
  return [
    request.method,
    encodePath(request.path),
    query,
    ...request.headers.map(([name, value]) => `${name}:${value.trim().replace(/ +/g, " ")}`),
    "",
    request.headers.map(([name]) => name).join(";"),
    request.payload,
  ].join("\n");
}

/** `timestamp` is yyyymmddThhmmssZ. */
export function textToSign(timestamp: string, scope: Scope, canonical: string): string {
  return [ALGORITHM, timestamp, scopeText(scope), sha256(canonical)].join("\n");
}

export function scopeText({ date, region, service }: Scope): string {
  return `${date}/${region}/${service}/aws4_request`;
}

export function signingKey(secret: string, { date, region, service }: Scope): Buffer {
  return [date, region, service, "aws4_request"].reduce<Buffer>(
    (key, part) => hmac(key, part),
    Buffer.from(`AWS4${secret}`),
  );
}

export function signatureOf(key: Buffer, text: string): string {
  return hmac(key, text).toString("hex");
}

/** What a chunk of an `aws-chunked` body signs: the signature before it, and the SHA-256 of its bytes. */
export function chunkText(timestamp: string, scope: Scope, previous: string, chunkSha256: string): string {
  return [`${ALGORITHM}-PAYLOAD`, timestamp, scopeText(scope), previous, EMPTY_SHA256, chunkSha256].join("\n");
}

/** What the trailer signs; `lines` are `name:value\n`, all of them together. */
export function trailerText(timestamp: string, scope: Scope, previous: string, lines: string): string {
  return [`${ALGORITHM}-TRAILER`, timestamp, scopeText(scope), previous, sha256(lines)].join("\n");
}

/** In the same time whatever is in it. */
export function isSame(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}

/** yyyymmddThhmmssZ as milliseconds since the epoch; undefined when it is no such time. */
export function parseTimestamp(text: string): number | undefined {
  const parts = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (!parts) return undefined;
  const [, year, month, day, hour, minute, second] = parts;
  const time = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(time) ? undefined : time;
}

export function formatTimestamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replace(/[-:]/g, "")}Z`;
}

export function sha256(text: string | Buffer): string {
  return createHash("sha256").update(text).digest("hex");
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
