/** What is said about an object besides its bytes: content headers, user metadata, tags, storage class. */
import { S3Error } from "./errors.ts";
import type { Description } from "./storage/types.ts";
import { parseQuery } from "./uri.ts";

const CONTENT_HEADERS = [
  "cache-control",
  "content-disposition",
  "content-encoding",
  "content-language",
  "content-type",
  "expires",
] as const;
const METADATA = "x-amz-meta-";
const MAX_METADATA_BYTES = 2048;
const MAX_TAGS = 10;
const TAG_TEXT = /^[\p{L}\p{N}\s_.:/=+\-@]*$/u;
const STORAGE_CLASSES = ["STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING"];

/** Headers that would change what is stored in a way that we do not have; ignoring them would be a lie. */
const NOT_IMPLEMENTED = [
  "x-amz-server-side-encryption",
  "x-amz-server-side-encryption-customer-algorithm",
  "x-amz-object-lock-mode",
  "x-amz-object-lock-legal-hold",
  "x-amz-object-lock-retain-until-date",
  "x-amz-website-redirect-location",
  "x-amz-write-offset-bytes",
  "x-amz-grant-read",
  "x-amz-grant-full-control",
];

/** @throws S3Error */
export function describe(headers: Record<string, string>): Description {
  refuseUnknown(headers);
  const kept: Record<string, string> = {};
  for (const name of CONTENT_HEADERS) if (headers[name] !== undefined) kept[name] = headers[name];
  const encodings = (kept["content-encoding"] ?? "").split(",").map((one) => one.trim());
  const left = encodings.filter((one) => one !== "" && one !== "aws-chunked").join(",");
  delete kept["content-encoding"];
  if (left !== "") kept["content-encoding"] = left;
  return {
    headers: kept,
    metadata: metadataOf(headers),
    tags: parseTagHeader(headers["x-amz-tagging"]),
    storageClass: storageClassOf(headers),
  };
}

export function storageClassOf(headers: Record<string, string>): string {
  const storageClass = headers["x-amz-storage-class"] ?? "STANDARD";
  if (!STORAGE_CLASSES.includes(storageClass))
    throw new S3Error("InvalidStorageClass", "The storage class you specified is not valid");
  return storageClass;
}

export function refuseUnknown(headers: Record<string, string>): void {
  const unknown = NOT_IMPLEMENTED.find((name) => headers[name] !== undefined);
  const acl = headers["x-amz-acl"];
  const isOther = acl !== undefined && !["private", "bucket-owner-full-control"].includes(acl);
  if (!unknown && !isOther) return;
  throw new S3Error("NotImplemented", "A header you provided implies functionality that is not implemented", {
    fields: { Header: unknown ?? "x-amz-acl" },
  });
}

/** The headers of an answer that has this object. */
export function describedHeaders({ headers, metadata, tags, storageClass }: Description): Record<string, string> {
  const count = Object.keys(tags).length;
  return {
    "content-type": "binary/octet-stream",
    ...headers,
    ...Object.fromEntries(Object.entries(metadata).map(([name, value]) => [METADATA + name, value])),
    ...(count > 0 && { "x-amz-tagging-count": String(count) }),
    ...(storageClass !== "STANDARD" && { "x-amz-storage-class": storageClass }),
  };
}

/** @throws S3Error InvalidTag */
export function checkTags(pairs: readonly (readonly [string, string])[], most = MAX_TAGS): Record<string, string> {
  const tags: Record<string, string> = Object.create(null);
  for (const [key, value] of pairs) {
    if (key === "" || key.length > 128 || !TAG_TEXT.test(key))
      throw new S3Error("InvalidTag", "The TagKey you have provided is invalid");
    if (value.length > 256 || !TAG_TEXT.test(value))
      throw new S3Error("InvalidTag", "The TagValue you have provided is invalid");
    if (Object.hasOwn(tags, key)) throw new S3Error("InvalidTag", "Cannot provide multiple Tags with the same key");
    tags[key] = value;
  }
  if (pairs.length > most) throw new S3Error("InvalidTag", `Object tags cannot be greater than ${most}`);
  return { ...tags };
}

export function parseTagHeader(header: string | undefined): Record<string, string> {
  return checkTags(parseQuery(header ?? ""));
}

function metadataOf(headers: Record<string, string>): Record<string, string> {
  const found = Object.entries(headers).filter(([name]) => name.startsWith(METADATA));
  const bytes = found.reduce((sum, [name, value]) => sum + name.length - METADATA.length + value.length, 0);
  if (bytes > MAX_METADATA_BYTES)
    throw new S3Error("MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size", {
      fields: { Size: bytes, MaxSizeAllowed: MAX_METADATA_BYTES },
    });
  return Object.fromEntries(found.map(([name, value]) => [name.slice(METADATA.length), value]));
}
