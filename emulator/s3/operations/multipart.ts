/** Multipart uploads. Parts lie on disk as they came; the finished object is the list of them, so nothing is copied. */
import { createHash } from "node:crypto";
import { receive, receiveText } from "../body.ts";
import { isoTime, quoted, type S3Call, type S3Reply } from "../call.ts";
import {
  ALGORITHMS,
  type Checksum,
  type ChecksumType,
  canBe,
  checksumOfParts,
  defaultType,
  elementOf,
  headerOf,
  parseAlgorithm,
} from "../checksums.ts";
import { describe } from "../description.ts";
import { S3Error } from "../errors.ts";
import { parseCopyRange } from "../range.ts";
import { type S3Request, wholeNumber } from "../request.ts";
import type { Bucket } from "../storage/bucket.ts";
import { compareKeys } from "../storage/contents.ts";
import type { Part, Upload } from "../storage/types.ts";
import { children, childText, element, type Node, optional, root, xml } from "../xml.ts";
import { parseBody } from "./bodies.ts";
import { commonOf, headOf, walk } from "./list.ts";
import { versionHeaders } from "./read.ts";
import {
  copyBytes,
  copyResult,
  MAX_PUT_BYTES,
  newId,
  nextId,
  placeVersion,
  sourceHeaders,
  withCopySource,
  withNewFile,
} from "./write.ts";

const MOST_PARTS = 10_000;
/** Of every part but the last. */
const SMALLEST_PART = 5 << 20;
const MAX_OBJECT_BYTES = 5 * 1024 ** 4;

export async function createUpload(call: S3Call): Promise<S3Reply> {
  const { request } = call;
  const bucket = call.bucket();
  const upload: Upload = {
    id: newId(),
    key: request.key,
    started: call.now(),
    description: describe(request.headers),
    checksum: wantedChecksum(request.headers),
    parts: [],
  };
  await bucket.commit([{ do: "begin", upload }]);
  return {
    status: 200,
    ...(upload.checksum && {
      headers: {
        "x-amz-checksum-algorithm": upload.checksum.algorithm,
        "x-amz-checksum-type": upload.checksum.type,
      },
    }),
    xml: xml(
      root("InitiateMultipartUploadResult", [
        element("Bucket", bucket.name),
        element("Key", request.key),
        element("UploadId", upload.id),
      ]),
    ),
  };
}

export async function uploadPart(call: S3Call): Promise<S3Reply> {
  const { request, caller } = call;
  const bucket = call.bucket();
  const { upload, number } = partOf(bucket, request);
  const part = await withNewFile(bucket, async (file) => {
    const limits = { maxBytes: MAX_PUT_BYTES, algorithm: upload.checksum?.algorithm };
    const { size, md5, checksum } = await receive(request, caller.body, file, limits);
    if (upload.checksum && checksum?.algorithm !== upload.checksum.algorithm)
      throw new S3Error(
        "InvalidRequest",
        `Checksum Type mismatch occurred, expected checksum Type: ${upload.checksum.algorithm}, actual checksum Type: ${checksum?.algorithm}`,
      );
    await file.finish();
    const made = { number, file: file.name, size, etag: md5, modified: call.now(), checksum: checksum?.value };
    await addPart(bucket, request, made);
    return { ...made, algorithm: checksum?.algorithm };
  });
  return {
    status: 200,
    headers: {
      etag: quoted(part.etag),
      ...(part.algorithm && part.checksum && { [headerOf(part.algorithm)]: part.checksum }),
    },
  };
}

export async function uploadPartCopy(call: S3Call): Promise<S3Reply> {
  const { request } = call;
  const bucket = call.bucket();
  const { upload, number } = partOf(bucket, request);
  const range = request.headers["x-amz-copy-source-range"];
  return withCopySource(
    call,
    (size) => parseCopyRange(range, size),
    async (source) => {
      const part = await withNewFile(bucket, async (file) => {
        const { size, md5, checksum } = await copyBytes(source, file, upload.checksum?.algorithm);
        const made = { number, file: file.name, size, etag: md5, modified: call.now(), checksum: checksum?.value };
        await addPart(bucket, request, made);
        return made;
      });
      const checksum: Checksum | null =
        upload.checksum && part.checksum !== undefined ? { ...upload.checksum, value: part.checksum } : null;
      return {
        status: 200,
        headers: sourceHeaders(source),
        xml: xml(root("CopyPartResult", copyResult({ ...part, checksum }).slice(0, 3))),
      };
    },
  );
}

export async function completeUpload(call: S3Call): Promise<S3Reply> {
  const { request, caller } = call;
  const bucket = call.bucket();
  const text = await receiveText(request, caller.body);
  const wanted = children(parseBody(text, "CompleteMultipartUpload"), "Part");
  const version = await bucket.alone(request.key, async () => {
    const upload = findUpload(bucket, request);
    const parts = chosenParts(upload, wanted);
    checkSize(request, parts);
    const size = parts.reduce((sum, part) => sum + part.size, 0);
    const checksum = wholeChecksum(request, upload, parts);
    return placeVersion(
      bucket,
      request.headers,
      () => ({
        key: upload.key,
        id: nextId(bucket),
        isMarker: false,
        modified: call.now(),
        size,
        etag: etagOf(parts),
        pieces: parts.map((part) => ({
          file: part.file,
          size: part.size,
          number: part.number,
          ...(part.checksum !== undefined && { checksum: part.checksum }),
        })),
        description: upload.description,
        checksum,
      }),
      [{ do: "end", upload: upload.id }],
    );
  });
  return {
    status: 200,
    headers: versionHeaders(bucket, version),
    xml: xml(
      root("CompleteMultipartUploadResult", [
        element("Location", `http://${request.headers.host}/${bucket.name}/${encodeURI(version.key)}`),
        element("Bucket", bucket.name),
        element("Key", version.key),
        element("ETag", quoted(version.etag)),
        ...(version.checksum
          ? [
              element(elementOf(version.checksum.algorithm), version.checksum.value),
              element("ChecksumType", version.checksum.type),
            ]
          : []),
      ]),
    ),
  };
}

export async function abortUpload(call: S3Call): Promise<S3Reply> {
  const bucket = call.bucket();
  await bucket.alone(call.request.key, async () => {
    const upload = findUpload(bucket, call.request);
    await bucket.commit([{ do: "end", upload: upload.id }]);
  });
  return { status: 204 };
}

export async function listParts(call: S3Call): Promise<S3Reply> {
  const { request } = call;
  const { query } = request;
  const bucket = call.bucket();
  const upload = findUpload(bucket, request);
  const { most } = commonOf(request, "max-parts");
  const marker = wholeNumber(query.get("part-number-marker") || "0", "part-number-marker", 0, 2 ** 31 - 1);
  const after = upload.parts.filter(({ number }) => number > marker);
  const shown = after.slice(0, most);
  const isTruncated = after.length > shown.length;
  return {
    status: 200,
    xml: xml(
      root("ListPartsResult", [
        element("Bucket", bucket.name),
        element("Key", upload.key),
        element("UploadId", upload.id),
        element("StorageClass", upload.description.storageClass),
        ...optional("ChecksumAlgorithm", upload.checksum?.algorithm),
        ...optional("ChecksumType", upload.checksum?.type),
        element("PartNumberMarker", marker),
        ...(isTruncated ? [element("NextPartNumberMarker", shown.at(-1)?.number ?? marker)] : []),
        element("MaxParts", most),
        element("IsTruncated", isTruncated),
        ...shown.map((part) =>
          element("Part", [
            element("PartNumber", part.number),
            element("LastModified", isoTime(part.modified)),
            element("ETag", quoted(part.etag)),
            element("Size", part.size),
            ...(upload.checksum ? optional(elementOf(upload.checksum.algorithm), part.checksum) : []),
          ]),
        ),
      ]),
    ),
  };
}

export async function listUploads(call: S3Call): Promise<S3Reply> {
  const { request } = call;
  const { query } = request;
  const common = commonOf(request, "max-uploads");
  const keyMarker = query.get("key-marker") ?? "";
  const idMarker = query.get("upload-id-marker") ?? "";
  const uploads = [...call.bucket().contents.uploads.values()].sort(
    (a, b) => compareKeys(a.key, b.key) || a.started - b.started || compareKeys(a.id, b.id),
  );
  const keys = [...new Set(uploads.map(({ key }) => key))];
  const positionOf = (key: string) => {
    const at = keys.findIndex((one) => compareKeys(one, key) >= 0);
    return at === -1 ? keys.length : at;
  };
  const position = { ...common, after: keyMarker, isAfterIncluded: idMarker !== "" };
  const entries = [...walk({ keys, positionOf }, position, () => true)].flatMap(({ key, prefix }): Row[] => {
    if (prefix !== undefined) return [{ prefix, upload: undefined }];
    const ofKey = uploads.filter((upload) => upload.key === key);
    const first = key === keyMarker ? ofKey.findIndex(({ id }) => id === idMarker) + 1 : 0;
    return ofKey.slice(first).map((upload) => ({ prefix: undefined, upload }));
  });
  const shown = entries.slice(0, common.most);
  const last = entries.length > shown.length ? shown.at(-1) : undefined;
  return {
    status: 200,
    xml: xml(
      root("ListMultipartUploadsResult", [
        element("Bucket", request.bucket),
        ...headOf(request, common).slice(1),
        element("KeyMarker", common.write(keyMarker)),
        element("UploadIdMarker", idMarker),
        ...(last
          ? [
              element("NextKeyMarker", common.write(last.upload?.key ?? last.prefix ?? "")),
              ...optional("NextUploadIdMarker", last.upload?.id),
            ]
          : []),
        element("MaxUploads", common.most),
        element("IsTruncated", last !== undefined),
        ...shown.map(({ prefix = "", upload }) =>
          upload
            ? element("Upload", [
                element("Key", common.write(upload.key)),
                element("UploadId", upload.id),
                element("StorageClass", upload.description.storageClass),
                element("Initiated", isoTime(upload.started)),
                ...optional("ChecksumAlgorithm", upload.checksum?.algorithm),
              ])
            : element("CommonPrefixes", [element("Prefix", common.write(prefix))]),
        ),
      ]),
    ),
  };
}

/** A line of the list of uploads. */
interface Row {
  prefix: string | undefined;
  upload: Upload | undefined;
}

function wantedChecksum(headers: Record<string, string>): Upload["checksum"] {
  const named = headers["x-amz-checksum-algorithm"];
  const type = headers["x-amz-checksum-type"]?.toUpperCase() as ChecksumType | undefined;
  if (named === undefined) {
    if (type === undefined) return null;
    throw new S3Error(
      "InvalidRequest",
      "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
    );
  }
  const algorithm = parseAlgorithm(named);
  if (type === undefined) return { algorithm, type: defaultType(algorithm) };
  if (!canBe(algorithm, type))
    throw new S3Error(
      "InvalidRequest",
      `The ${type} checksum type cannot be used with the ${algorithm.toLowerCase()} checksum algorithm.`,
    );
  return { algorithm, type };
}

function partOf(bucket: Bucket, request: S3Request): { upload: Upload; number: number } {
  const number = wholeNumber(request.query.get("partNumber") ?? "", "partNumber", 1, MOST_PARTS);
  return { upload: findUpload(bucket, request), number };
}

/** The upload may have ended while the part came in; then nothing may be left of the part. */
async function addPart(bucket: Bucket, request: S3Request, part: Part): Promise<void> {
  await bucket.alone(request.key, async () => {
    const upload = findUpload(bucket, request);
    await bucket.commit([{ do: "part", upload: upload.id, part }]);
  });
}

function findUpload(bucket: Bucket, { key, query }: S3Request): Upload {
  const id = query.get("uploadId") ?? "";
  const upload = bucket.contents.uploads.get(id);
  if (upload?.key === key) return upload;
  throw new S3Error(
    "NoSuchUpload",
    "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.",
    { fields: { UploadId: id } },
  );
}

function chosenParts(upload: Upload, wanted: Node[]): Part[] {
  if (wanted.length === 0) throw new S3Error("MalformedXML", "You must specify at least one part");
  const parts: Part[] = [];
  for (const node of wanted) {
    const number = Number(childText(node, "PartNumber"));
    const etag = childText(node, "ETag")?.replaceAll('"', "");
    if (number <= (parts.at(-1)?.number ?? 0))
      throw new S3Error(
        "InvalidPartOrder",
        "The list of parts was not in ascending order. Parts must be ordered by part number.",
      );
    const part = upload.parts.find((one) => one.number === number);
    const isSame =
      part?.etag === etag &&
      ALGORITHMS.every((algorithm) => {
        const stated = childText(node, elementOf(algorithm));
        return (
          stated === undefined ||
          (algorithm === upload.checksum?.algorithm ? stated === part?.checksum : upload.checksum === null)
        );
      });
    if (!part || !isSame)
      throw new S3Error(
        "InvalidPart",
        "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.",
        { fields: { UploadId: upload.id, PartNumber: number, ETag: etag ?? "" } },
      );
    parts.push(part);
  }
  const small = parts.slice(0, -1).find(({ size }) => size < SMALLEST_PART);
  if (small)
    throw new S3Error("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size", {
      fields: { ProposedSize: small.size, MinSizeAllowed: SMALLEST_PART, PartNumber: small.number, ETag: small.etag },
    });
  return parts;
}

function checkSize({ headers }: S3Request, parts: Part[]): void {
  const size = parts.reduce((sum, part) => sum + part.size, 0);
  if (size > MAX_OBJECT_BYTES)
    throw new S3Error("EntityTooLarge", "Your proposed upload exceeds the maximum allowed object size.");
  const stated = headers["x-amz-mp-object-size"];
  if (stated !== undefined && Number(stated) !== size)
    throw new S3Error(
      "InvalidRequest",
      `The provided 'x-amz-mp-object-size' header value ${stated} does not match what was computed: ${size}`,
    );
}

/** The checksum of the whole, which the request may state as well. */
function wholeChecksum({ headers }: S3Request, upload: Upload, parts: Part[]): Checksum | null {
  if (!upload.checksum) return null;
  const { algorithm, type } = upload.checksum;
  const checksum = checksumOfParts(algorithm, type, parts) ?? null;
  const stated = headers[headerOf(algorithm)];
  if (stated !== undefined && stated.replace(/-\d+$/, "") !== checksum?.value.replace(/-\d+$/, ""))
    throw new S3Error("BadDigest", `The ${algorithm} you specified did not match the calculated checksum.`);
  return checksum;
}

function etagOf(parts: Part[]): string {
  const hash = createHash("md5");
  for (const { etag } of parts) hash.update(Buffer.from(etag, "hex"));
  return `${hash.digest("hex")}-${parts.length}`;
}
