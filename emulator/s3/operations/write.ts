/** PUT of an object, and copies made by the store itself. */
import { createHash, randomBytes } from "node:crypto";
import { type Received, receive } from "../body.ts";
import { isoTime, quoted, type S3Call, type S3Reply } from "../call.ts";
import { type Algorithm, type Checksum, createHasher, elementOf, parseAlgorithm } from "../checksums.ts";
import { checkCopySource, checkWrite } from "../conditions.ts";
import { describe, parseTagHeader, storageClassOf } from "../description.ts";
import { S3Error } from "../errors.ts";
import type { Span } from "../range.ts";
import type { S3Request } from "../request.ts";
import type { Bucket, Reading } from "../storage/bucket.ts";
import type { NewFile } from "../storage/files.ts";
import { type Change, type Description, NULL_ID, type Version } from "../storage/types.ts";
import { decodePath, parseQuery } from "../uri.ts";
import { element, optional, root, xml } from "../xml.ts";
import { checksumHeaders, currentObject, findVersion, versionHeaders } from "./read.ts";

/** The largest object of one request, and the largest part. */
export const MAX_PUT_BYTES = 5 * 1024 ** 3;

export async function putObject(call: S3Call): Promise<S3Reply> {
  const { request, caller } = call;
  const bucket = call.bucket();
  const description = describe(request.headers);
  const version = await withNewFile(bucket, async (file) => {
    const received = await receive(request, caller.body, file, { maxBytes: MAX_PUT_BYTES });
    await file.finish();
    return place(call, bucket, request.headers, { file, received, description });
  });
  return {
    status: 200,
    headers: { etag: quoted(version.etag), ...versionHeaders(bucket, version), ...checksumHeaders(version) },
  };
}

export async function copyObject(call: S3Call): Promise<S3Reply> {
  const { headers } = call.request;
  const bucket = call.bucket();
  return withCopySource(call, wholeOf, async (source) => {
    const { version: from } = source;
    const isReplaced = directive(headers, "x-amz-metadata-directive");
    const isSelf = source.bucket === bucket && from.key === call.request.key;
    if (isSelf && !isReplaced && headers["x-amz-storage-class"] === undefined)
      throw new S3Error(
        "InvalidRequest",
        "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.",
      );
    const description = {
      ...(isReplaced ? describe(headers) : { ...from.description, storageClass: storageClassOf(headers) }),
      tags: directive(headers, "x-amz-tagging-directive")
        ? parseTagHeader(headers["x-amz-tagging"])
        : from.description.tags,
    };
    const named = headers["x-amz-checksum-algorithm"];
    const algorithm = named === undefined ? from.checksum?.algorithm : parseAlgorithm(named);
    const version = await withNewFile(bucket, async (file) => {
      const received = await copyBytes(source, file, algorithm);
      return place(call, bucket, headers, { file, received, description });
    });
    return {
      status: 200,
      headers: { ...versionHeaders(bucket, version), ...sourceHeaders(source) },
      xml: xml(root("CopyObjectResult", copyResult(version))),
    };
  });
}

/** The elements that tell what a copy has become. */
export function copyResult(made: { etag: string; modified: number; checksum: Checksum | null }) {
  return [
    element("LastModified", isoTime(made.modified)),
    element("ETag", quoted(made.etag)),
    ...(made.checksum ? [element(elementOf(made.checksum.algorithm), made.checksum.value)] : []),
    ...optional("ChecksumType", made.checksum?.type),
  ];
}

/** Runs `work` with a file that is deleted when it fails. */
export async function withNewFile<T>(bucket: Bucket, work: (file: NewFile) => Promise<T>): Promise<T> {
  const file = await bucket.createFile();
  try {
    return await work(file);
  } catch (error) {
    await file.discard();
    throw error;
  }
}

/** Makes `change` under the key's lock when the write's conditions hold there. Gives the new version. */
export async function placeVersion(
  bucket: Bucket,
  headers: Record<string, string>,
  make: () => Version,
  also: Change[] = [],
): Promise<Version> {
  const version = make();
  checkWrite(headers, currentObject(bucket, version.key));
  await bucket.commit([{ do: "put", version }, ...also]);
  return version;
}

/** The id that the next version of a key gets. */
export function nextId(bucket: Bucket): string {
  return bucket.contents.settings.versioning === "Enabled" ? newId() : NULL_ID;
}

export function newId(): string {
  return randomBytes(24).toString("base64url");
}

interface Content {
  file: NewFile;
  received: Received;
  description: Description;
}

async function place(
  call: S3Call,
  bucket: Bucket,
  headers: Record<string, string>,
  content: Content,
): Promise<Version> {
  const { file, received, description } = content;
  const { size, md5, checksum } = received;
  if (size === 0) await file.discard();
  return bucket.alone(call.request.key, () =>
    placeVersion(bucket, headers, () => ({
      key: call.request.key,
      id: nextId(bucket),
      isMarker: false,
      modified: call.now(),
      size,
      etag: md5,
      pieces: size === 0 ? [] : [{ file: file.name, size }],
      description,
      checksum: checksum ? { ...checksum, type: "FULL_OBJECT" } : null,
    })),
  );
}

export interface CopySource {
  bucket: Bucket;
  version: Version;
  reading: Reading;
}

/** Where `x-amz-copy-source` points: `/bucket/key[?versionId=...]`, percent-encoded. */
export function parseCopySource(request: S3Request): { bucket: string; key: string; versionId: string | undefined } {
  const header = request.headers["x-amz-copy-source"] ?? "";
  const [path = "", query = ""] = header.split("?");
  const [, bucket = "", key = ""] = /^\/?([^/]+)\/(.+)$/s.exec(decodePath(path) ?? "") ?? [];
  if (bucket === "" || key === "")
    throw new S3Error("InvalidArgument", "Copy Source must mention the source bucket and key: sourcebucket/sourcekey", {
      fields: { ArgumentName: "x-amz-copy-source", ArgumentValue: header },
    });
  return { bucket, key, versionId: new Map(parseQuery(query)).get("versionId") };
}

/** Runs `work` with the bytes of the source held fast, whatever happens to the source meanwhile. */
export async function withCopySource<T>(
  call: S3Call,
  spanOf: (size: number) => Span,
  work: (source: CopySource) => Promise<T>,
): Promise<T> {
  const { bucket: name, key, versionId } = parseCopySource(call.request);
  const bucket = call.store.bucket(name);
  const version = sourceVersion(bucket, key, versionId);
  checkCopySource(call.request.headers, version);
  const { start, end } = spanOf(version.size);
  const reading = bucket.read(version, start, end);
  try {
    return await work({ bucket, version, reading });
  } finally {
    reading.close();
  }
}

export function sourceHeaders({ bucket, version }: CopySource): Record<string, string> {
  return bucket.contents.settings.versioning === "off" ? {} : { "x-amz-copy-source-version-id": version.id };
}

/** Reads the bytes of the source into the file, to the disk. */
export async function copyBytes(
  { reading }: CopySource,
  file: NewFile,
  algorithm: Algorithm | undefined,
): Promise<Received> {
  const md5 = createHash("md5");
  const hasher = algorithm && createHasher(algorithm);
  for await (const bytes of reading.bytes) {
    md5.update(bytes);
    hasher?.update(bytes);
    await file.write(Buffer.from(bytes)); // the reader uses its buffers again
  }
  await file.finish();
  const value = hasher?.digest();
  return {
    size: reading.size,
    md5: md5.digest("hex"),
    checksum: algorithm && value !== undefined ? { algorithm, value } : undefined,
  };
}

function wholeOf(size: number): Span {
  if (size > MAX_PUT_BYTES)
    throw new S3Error(
      "InvalidRequest",
      `The specified copy source is larger than the maximum allowable size for a copy source: ${MAX_PUT_BYTES}`,
    );
  return { start: 0, end: size };
}

function sourceVersion(bucket: Bucket, key: string, versionId: string | undefined): Version {
  try {
    return findVersion(bucket, key, versionId);
  } catch (error) {
    if (!(error instanceof S3Error && error.code === "MethodNotAllowed")) throw error;
    throw new S3Error(
      "InvalidRequest",
      "The source of a copy request may not specifically refer to a delete marker by version id.",
    );
  }
}

/** Whether a directive says REPLACE. */
function directive(headers: Record<string, string>, name: string): boolean {
  const value = headers[name] ?? "COPY";
  if (value === "COPY" || value === "REPLACE") return value === "REPLACE";
  throw new S3Error("InvalidArgument", `Unknown ${name.includes("tagging") ? "tagging" : "metadata"} directive.`, {
    fields: { ArgumentName: name, ArgumentValue: value },
  });
}
