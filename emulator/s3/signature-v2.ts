/**
 * Presigned URLs of the old kind (`?AWSAccessKeyId=...&Expires=...&Signature=...`): boto3 and the `aws` command still
 * make these for us-east-1 unless told otherwise, so a link that anybody makes without thinking must work here too.
 * Source: "Signing and authenticating REST requests (AWS signature version 2)" of the Amazon S3 user guide.
 */
import { createHmac } from "node:crypto";
import { S3Error } from "./errors.ts";
import type { S3Request } from "./request.ts";
import { isSame } from "./signature.ts";

/** Parameters that belong to what is signed; all others do not. */
const SIGNED = new Set([
  "acl",
  "delete",
  "lifecycle",
  "location",
  "logging",
  "notification",
  "partNumber",
  "policy",
  "requestPayment",
  "response-cache-control",
  "response-content-disposition",
  "response-content-encoding",
  "response-content-language",
  "response-content-type",
  "response-expires",
  "tagging",
  "torrent",
  "uploadId",
  "uploads",
  "versionId",
  "versioning",
  "versions",
  "website",
]);

export function isPresignedV2({ query }: S3Request): boolean {
  return query.has("AWSAccessKeyId") && query.has("Signature") && query.has("Expires");
}

/** @throws S3Error AccessDenied, SignatureDoesNotMatch */
export function checkPresignedV2(request: S3Request, secret: string, nowMs: number): void {
  const expires = Number(request.query.get("Expires"));
  if (!(nowMs <= expires * 1000))
    throw new S3Error("AccessDenied", "Request has expired", { fields: { ServerTime: new Date(nowMs).toISOString() } });
  const text = textV2(request);
  const wanted = createHmac("sha1", secret).update(text).digest("base64");
  if (isSame(wanted, request.query.get("Signature") ?? "")) return;
  throw new S3Error(
    "SignatureDoesNotMatch",
    "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
    { fields: { StringToSign: text } },
  );
}

function textV2({ method, headers, query, rawPath, bucket, isBucketInHost }: S3Request): string {
  const amazon = Object.entries(headers)
    .filter(([name]) => name.startsWith("x-amz-"))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}:${value.trim()}\n`)
    .join("");
  const parameters = query.pairs
    .filter(([name]) => SIGNED.has(name))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => (value === "" ? name : `${name}=${value}`))
    .join("&");
  const resource = `${isBucketInHost ? `/${bucket}` : ""}${rawPath}${parameters === "" ? "" : `?${parameters}`}`;
  const [md5 = "", type = ""] = [headers["content-md5"], headers["content-type"]];
  return [method, md5, type, query.get("Expires"), `${amazon}${resource}`].join("\n");
}
