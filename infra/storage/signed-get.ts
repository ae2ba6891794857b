/**
 * One GET with signature v4, for the one small object that every `up` reads twice (in the command and in the program):
 * loading the SDK for it costs 0.13 s of computing each time (measured, compile cache warm). It knows the plain cases
 * only; whatever else comes is left to the SDK, which retries and words it.
 * Source: "Authenticating Requests: Using the Authorization Header", S3 API reference.
 */
import { createHash, createHmac } from "node:crypto";
import type { Store } from "./access.ts";

export type Got = { body: Uint8Array; etag: string | undefined } | "no-key" | "no-bucket";

const PATIENCE_MS = 4000;
const EMPTY = sha256("");

/** Undefined: ask the SDK. Only for endpoints with keys that are known here: AWS itself has more ways than one. */
export async function signedGet(store: Store, key: string, now = new Date()): Promise<Got | undefined> {
  if (store.endpoint === null || store.keys === null) return undefined;
  const url = new URL(`${store.endpoint}/${[store.bucket, ...key.split("/")].map(encoded).join("/")}`);
  try {
    const response = await fetch(url, {
      headers: signedHeaders(url, store, store.keys, now),
      signal: AbortSignal.timeout(PATIENCE_MS),
      redirect: "error",
    });
    if (response.ok) {
      return { body: new Uint8Array(await response.arrayBuffer()), etag: response.headers.get("etag") ?? undefined };
    }
    const code = response.status === 404 ? /<Code>(\w+)<\/Code>/.exec(await response.text())?.[1] : undefined;
    return { NoSuchKey: "no-key", NoSuchBucket: "no-bucket" }[code ?? ""] as Got | undefined;
  } catch {
    return undefined;
  }
}

function signedHeaders(url: URL, { region }: Store, keys: NonNullable<Store["keys"]>, now: Date) {
  const time = now.toISOString().replace(/[-:]|\.\d+/g, "");
  const headers: Record<string, string> = {
    host: url.host,
    "x-amz-content-sha256": EMPTY,
    "x-amz-date": time,
    ...(keys.sessionToken && { "x-amz-security-token": keys.sessionToken.reveal() }),
  };
  const names = Object.keys(headers).sort();
  const canonical = [
    "GET",
    url.pathname,
    "",
    ...names.map((name) => `${name}:${headers[name]}`),
    "",
    names.join(";"),
    EMPTY,
  ];
  const scope = [time.slice(0, 8), region, "s3", "aws4_request"];
  const text = ["AWS4-HMAC-SHA256", time, scope.join("/"), sha256(canonical.join("\n"))].join("\n");
  const signingKey = scope.reduce<Buffer | string>(
    (secret, part) => hmac(secret, part),
    `AWS4${keys.secretAccessKey.reveal()}`,
  );
  const signature = hmac(signingKey, text).toString("hex");
  const { host: _, ...sent } = headers; // fetch sets it itself
  const credential = `${keys.accessKeyId}/${scope.join("/")}`;
  return {
    ...sent,
    authorization: `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${names.join(";")}, Signature=${signature}`,
  };
}

function encoded(segment: string): string {
  return encodeURIComponent(segment).replace(/[!'()*]/g, (it) => `%${it.charCodeAt(0).toString(16).toUpperCase()}`);
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function hmac(key: Buffer | string, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}
