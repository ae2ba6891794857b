/**
 * Who sent a request: checks the signature in its header or its query, and gives what the body must still prove.
 * Clocks may differ by 15 minutes. Anonymous requests, session tokens and headers of signature v2 are refused by name.
 */
import type { BodyProof } from "./body.ts";
import { S3Error } from "./errors.ts";
import type { Grant, Key, Keyring } from "./keys.ts";
import type { S3Request } from "./request.ts";
import {
  ALGORITHM,
  type CanonicalRequest,
  canonicalText,
  formatTimestamp,
  isSame,
  parseTimestamp,
  type Scope,
  signatureOf,
  signingKey,
  textToSign,
} from "./signature.ts";
import { checkPresignedV2, isPresignedV2 } from "./signature-v2.ts";

export interface Caller {
  accessKeyId: string;
  grant: Grant;
  body: BodyProof;
}

export const REGION = "us-east-1";
const SERVICE = "s3";
const MAX_SKEW_MS = 15 * 60_000;
const MAX_EXPIRES_SECONDS = 7 * 24 * 3600;
const PAYLOAD_HEADER = "x-amz-content-sha256";
const STREAMING = "STREAMING-";

/** The parts of a signature, wherever they came from. */
interface Claim {
  accessKeyId: string;
  scope: Scope;
  signedHeaders: string[];
  signature: string;
  timestamp: string;
  timeMs: number;
  payload: string;
  query: CanonicalRequest["query"];
}

/** @throws S3Error */
export function authenticate(request: S3Request, keyring: Keyring, nowMs: number): Caller {
  if (isPresignedV2(request)) return authenticateV2(request, keyring, nowMs);
  const claim = request.query.has("X-Amz-Algorithm") ? queryClaim(request, nowMs) : headerClaim(request, nowMs);
  checkScope(claim.scope, claim.timestamp);
  const key = findKey(keyring, claim.accessKeyId);
  checkSignedHeaders(request, claim.signedHeaders);
  const secretKey = signingKey(key.secretAccessKey, claim.scope);
  checkSignature(request, claim, secretKey);
  return {
    accessKeyId: claim.accessKeyId,
    grant: key.grant,
    body: {
      payload: claim.payload,
      chunks: claim.payload.startsWith(STREAMING)
        ? {
            key: secretKey,
            scope: claim.scope,
            timestamp: claim.timestamp,
            seed: claim.signature,
          }
        : undefined,
    },
  };
}

function authenticateV2(request: S3Request, keyring: Keyring, nowMs: number): Caller {
  const accessKeyId = request.query.get("AWSAccessKeyId") ?? "";
  const key = findKey(keyring, accessKeyId);
  checkPresignedV2(request, key.secretAccessKey, nowMs);
  return { accessKeyId, grant: key.grant, body: { payload: "UNSIGNED-PAYLOAD", chunks: undefined } };
}

function findKey(keyring: Keyring, accessKeyId: string): Key {
  const key = keyring.find(accessKeyId);
  if (key) return key;
  throw new S3Error("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", {
    fields: { AWSAccessKeyId: accessKeyId },
  });
}

function headerClaim(request: S3Request, nowMs: number): Claim {
  const header = request.headers.authorization;
  if (header === undefined) throw new S3Error("AccessDenied", "Access Denied");
  if (!header.startsWith(ALGORITHM)) {
    throw new S3Error(
      "InvalidRequest",
      "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
    );
  }
  const parts = new Map(
    header
      .slice(ALGORITHM.length)
      .split(",")
      .map((part) => part.trim().split(/=(.*)/s) as [string, string]),
  );
  const [credential, signed, signature] = ["Credential", "SignedHeaders", "Signature"].map((name) => parts.get(name));
  if (!credential || !signed || !signature) {
    throw new S3Error("AuthorizationHeaderMalformed", "The authorization header is malformed; it lacks a part.");
  }
  refuseToken(request.headers["x-amz-security-token"]);
  const payload = request.headers[PAYLOAD_HEADER];
  if (payload === undefined)
    throw new S3Error("InvalidRequest", "Missing required header for this request: x-amz-content-sha256");
  const { timestamp, timeMs } = headerTime(request);
  checkSkew(timeMs, nowMs);
  return {
    ...parseCredential(credential, "AuthorizationHeaderMalformed"),
    signedHeaders: signed.split(";"),
    signature,
    timestamp,
    timeMs,
    payload,
    query: request.query.pairs,
  };
}

function queryClaim(request: S3Request, nowMs: number): Claim {
  const get = (name: string) => {
    const value = request.query.get(name);
    if (value) return value;
    throw new S3Error(
      "AuthorizationQueryParametersError",
      "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
    );
  };
  if (get("X-Amz-Algorithm") !== ALGORITHM)
    throw new S3Error("AuthorizationQueryParametersError", `X-Amz-Algorithm only supports "${ALGORITHM}"`);
  refuseToken(request.query.get("X-Amz-Security-Token"));
  const timestamp = get("X-Amz-Date");
  const timeMs = parseTimestamp(timestamp);
  const expires = Number(get("X-Amz-Expires"));
  if (timeMs === undefined)
    throw new S3Error(
      "AuthorizationQueryParametersError",
      "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"",
    );
  if (!(Number.isInteger(expires) && expires >= 0 && expires <= MAX_EXPIRES_SECONDS))
    throw new S3Error(
      "AuthorizationQueryParametersError",
      `X-Amz-Expires must be between 0 and ${MAX_EXPIRES_SECONDS} seconds`,
    );
  if (timeMs - nowMs > MAX_SKEW_MS) throw new S3Error("AccessDenied", "Request is not yet valid");
  if (nowMs > timeMs + expires * 1000) {
    throw new S3Error("AccessDenied", "Request has expired", {
      fields: {
        "X-Amz-Expires": expires,
        Expires: new Date(timeMs + expires * 1000).toISOString(),
        ServerTime: new Date(nowMs).toISOString(),
      },
    });
  }
  const signedHeaders = get("X-Amz-SignedHeaders").split(";");
  const signedPayload = signedHeaders.includes(PAYLOAD_HEADER) ? request.headers[PAYLOAD_HEADER] : undefined;
  return {
    ...parseCredential(get("X-Amz-Credential"), "AuthorizationQueryParametersError"),
    signedHeaders,
    signature: get("X-Amz-Signature"),
    timestamp,
    timeMs,
    payload: signedPayload ?? request.query.get("X-Amz-Content-Sha256") ?? "UNSIGNED-PAYLOAD",
    query: request.query.pairs.filter(([name]) => name !== "X-Amz-Signature"),
  };
}

function refuseToken(token: string | undefined): void {
  if (token) throw new S3Error("InvalidToken", "The provided token is malformed or otherwise invalid.");
}

function headerTime(request: S3Request): { timestamp: string; timeMs: number } {
  const amz = request.headers["x-amz-date"];
  const timeMs = amz === undefined ? Date.parse(request.headers.date ?? "") : parseTimestamp(amz);
  if (timeMs === undefined || Number.isNaN(timeMs))
    throw new S3Error("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header");
  return { timestamp: amz ?? formatTimestamp(timeMs), timeMs };
}

function checkSkew(timeMs: number, nowMs: number): void {
  if (Math.abs(timeMs - nowMs) <= MAX_SKEW_MS) return;
  throw new S3Error(
    "RequestTimeTooSkewed",
    "The difference between the request time and the current time is too large.",
    {
      fields: {
        RequestTime: formatTimestamp(timeMs),
        ServerTime: new Date(nowMs).toISOString(),
        MaxAllowedSkewMilliseconds: MAX_SKEW_MS,
      },
    },
  );
}

type Malformed = "AuthorizationHeaderMalformed" | "AuthorizationQueryParametersError";

function parseCredential(text: string, code: Malformed): Pick<Claim, "accessKeyId" | "scope"> {
  const parts = text.split("/");
  const [end, service = "", region = "", date = ""] = parts.slice(-4).reverse();
  const accessKeyId = parts.slice(0, -4).join("/");
  if (end !== "aws4_request" || accessKeyId === "" || !/^\d{8}$/.test(date))
    throw new S3Error(code, `The credential is malformed: "${text}".`);
  if (service !== SERVICE)
    throw new S3Error(
      code,
      `The credential is malformed: incorrect service "${service}". This endpoint belongs to "s3".`,
    );
  if (region !== REGION)
    throw new S3Error(
      code,
      `The authorization header is malformed; the region '${region}' is wrong; expecting '${REGION}'`,
      { fields: { Region: REGION } },
    );
  return { accessKeyId, scope: { date, region, service } };
}

function checkScope(scope: Scope, timestamp: string): void {
  if (timestamp.startsWith(scope.date)) return;
  throw new S3Error(
    "SignatureDoesNotMatch",
    `The credential's date ${scope.date} is not that of the request, ${timestamp}.`,
  );
}

/** What is not signed could have been changed on the way. */
function checkSignedHeaders(request: S3Request, signed: string[]): void {
  const missing = Object.keys(request.headers).filter(
    (name) => (name === "host" || name.startsWith("x-amz-")) && !signed.includes(name),
  );
  // The payload's hash of a presigned request is not signed by every client.
  const unsigned = missing.filter((name) => !(name === PAYLOAD_HEADER && request.query.has("X-Amz-Algorithm")));
  if (unsigned.length > 0)
    throw new S3Error("AccessDenied", "There were headers present in the request which were not signed", {
      fields: { HeadersNotSigned: unsigned.join(", ") },
    });
}

function checkSignature(request: S3Request, claim: Claim, key: Buffer): void {
  const canonical = canonicalText({
    method: request.method,
    path: request.path,
    query: claim.query,
    headers: claim.signedHeaders.map((name) => [name, valuesOf(request.rawHeaders, name)]),
    payload: claim.payload,
  });
  const text = textToSign(claim.timestamp, claim.scope, canonical);
  if (isSame(signatureOf(key, text), claim.signature)) return;
  throw new S3Error(
    "SignatureDoesNotMatch",
    "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
    {
      fields: {
        AWSAccessKeyId: claim.accessKeyId,
        StringToSign: text,
        SignatureProvided: claim.signature,
        CanonicalRequest: canonical,
      },
    },
  );
}

/** Values as they came over the wire, which Node's own view of headers partly drops. */
function valuesOf(rawHeaders: readonly string[], name: string): string {
  const values: string[] = [];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2)
    if (rawHeaders[at]?.toLowerCase() === name) values.push((rawHeaders[at + 1] ?? "").trim());
  return values.join(",");
}
