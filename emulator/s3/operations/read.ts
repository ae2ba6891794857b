/** GET and HEAD of an object, by version, part or range, under conditions. */
import { quoted, type S3Call, type S3Reply } from "../call.ts";
import { headerOf } from "../checksums.ts";
import { checkRead } from "../conditions.ts";
import { describedHeaders } from "../description.ts";
import { S3Error } from "../errors.ts";
import { parseRange, type Span } from "../range.ts";
import { type S3Request, wholeNumber } from "../request.ts";
import type { Bucket } from "../storage/bucket.ts";
import type { Version } from "../storage/types.ts";

/** Parameters of a (presigned) GET that change headers of the answer. */
const OVERRIDES = [
  "cache-control",
  "content-disposition",
  "content-encoding",
  "content-language",
  "content-type",
  "expires",
];

export async function getObject(call: S3Call): Promise<S3Reply> {
  return read(call, true);
}

export async function headObject(call: S3Call): Promise<S3Reply> {
  return read(call, false);
}

function read({ request, bucket: bucketOf }: S3Call, hasBody: boolean): S3Reply {
  const bucket = bucketOf();
  const { headers, query } = request;
  const version = findVersion(bucket, request.key, query.get("versionId"));
  checkRead(headers, version);
  const part = query.get("partNumber");
  const span = part === undefined ? parseRange(headers.range, version.size) : partSpan(version, part);
  const { start, end } = span ?? { start: 0, end: version.size };
  const isWhole = start === 0 && end === version.size;
  return {
    status: span ? 206 : 200,
    headers: {
      ...describedHeaders(version.description),
      ...overrides(request),
      ...versionHeaders(bucket, version),
      "content-length": String(end - start),
      "accept-ranges": "bytes",
      etag: quoted(version.etag),
      "last-modified": new Date(version.modified).toUTCString(),
      ...(span && { "content-range": `bytes ${start}-${end - 1}/${version.size}` }),
      ...(part !== undefined && isMultipart(version) && { "x-amz-mp-parts-count": String(version.pieces.length) }),
      ...(headers["x-amz-checksum-mode"]?.toUpperCase() === "ENABLED" && isWhole && checksumHeaders(version)),
    },
    ...(hasBody && { body: bucket.read(version, start, end) }),
  };
}

/** The version that a read means. @throws S3Error NoSuchKey, NoSuchVersion, MethodNotAllowed */
export function findVersion(bucket: Bucket, key: string, id: string | undefined): Version {
  const version = id === undefined ? bucket.contents.latest(key) : bucket.contents.find(key, id);
  if (!version && id !== undefined)
    throw new S3Error("NoSuchVersion", "The specified version does not exist.", {
      fields: { Key: key, VersionId: id },
    });
  if (!version) throw noSuchKey(key);
  if (!version.isMarker) return version;
  const headers = { "x-amz-delete-marker": "true", ...versionHeaders(bucket, version) };
  if (id === undefined) throw noSuchKey(key, headers);
  throw new S3Error("MethodNotAllowed", "The specified method is not allowed against this resource.", {
    fields: { Method: "GET", ResourceType: "DeleteMarker" },
    headers: { ...headers, Allow: "DELETE", "Last-Modified": new Date(version.modified).toUTCString() },
  });
}

/** The current object; undefined where there is none or the newest version is a delete marker. */
export function currentObject(bucket: Bucket, key: string): Version | undefined {
  const latest = bucket.contents.latest(key);
  return latest?.isMarker ? undefined : latest;
}

/** Buckets that never had versioning do not speak of versions. */
export function versionHeaders(bucket: Bucket, version: Pick<Version, "id">): Record<string, string> {
  return bucket.contents.settings.versioning === "off" ? {} : { "x-amz-version-id": version.id };
}

export function checksumHeaders({ checksum }: Pick<Version, "checksum">): Record<string, string> {
  return checksum ? { [headerOf(checksum.algorithm)]: checksum.value, "x-amz-checksum-type": checksum.type } : {};
}

function isMultipart({ pieces }: Version): boolean {
  return pieces[0]?.number !== undefined;
}

/** Objects that were put whole have one part. */
function partSpan(version: Version, text: string): Span {
  const number = wholeNumber(text, "partNumber", 1, 10_000);
  if (!isMultipart(version) && number === 1) return { start: 0, end: version.size };
  let start = 0;
  for (const [index, { size }] of version.pieces.entries()) {
    if (isMultipart(version) && index + 1 === number) return { start, end: start + size };
    start += size;
  }
  throw new S3Error("InvalidRange", "The requested partnumber is not satisfiable");
}

function overrides({ query }: S3Request): Record<string, string> {
  return Object.fromEntries(
    OVERRIDES.flatMap((name) => {
      const value = query.get(`response-${name}`);
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

function noSuchKey(key: string, headers: Record<string, string> = {}): S3Error {
  return new S3Error("NoSuchKey", "The specified key does not exist.", { fields: { Key: key }, headers });
}
