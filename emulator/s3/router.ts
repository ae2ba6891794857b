/**
 * Which operation a request means: method, what it is about, and the subresource in the query. The table is read from
 * the top. What we do not have is named, so that a client hears "not implemented" and not something else's answer.
 */
import type { Reach } from "./access.ts";
import type { Handler } from "./call.ts";
import { S3Error } from "./errors.ts";
import * as buckets from "./operations/buckets.ts";
import * as list from "./operations/list.ts";
import * as multipart from "./operations/multipart.ts";
import { getObject, headObject } from "./operations/read.ts";
import { deleteObject, deleteObjects } from "./operations/remove.ts";
import * as tagging from "./operations/tagging.ts";
import { copyObject, putObject } from "./operations/write.ts";
import type { S3Request } from "./request.ts";

export interface Operation {
  /** AWS's name. */
  name: string;
  reach: Reach;
  handler: Handler;
  /** How faults see it: what it moves. */
  moves: "up" | "down" | "nothing";
}

interface Row extends Operation {
  method: string;
  about: "service" | "bucket" | "object";
  /** Names that must be in the query. */
  query: string[];
  /** A header that must be there. */
  header: string | undefined;
}

/** Written as `METHOD about?query&query header`. */
function row(
  pattern: string,
  name: string,
  reach: Reach,
  handler: Handler,
  moves: Operation["moves"] = "nothing",
): Row {
  const [method = "", place = "", header] = pattern.split(" ");
  const [about = "", query = ""] = place.split("?");
  return {
    method,
    about: about as Row["about"],
    query: query === "" ? [] : query.split("&"),
    header,
    name,
    reach,
    handler,
    moves,
  };
}

const COPY = "x-amz-copy-source";

const ROWS: Row[] = [
  row("GET service", "ListBuckets", "owner", buckets.listBuckets),

  row("GET bucket?location", "GetBucketLocation", "owner", buckets.getLocation),
  row("GET bucket?versioning", "GetBucketVersioning", "owner", buckets.getVersioning),
  row("PUT bucket?versioning", "PutBucketVersioning", "owner", buckets.putVersioning),
  row("GET bucket?tagging", "GetBucketTagging", "owner", tagging.getBucketTags),
  row("PUT bucket?tagging", "PutBucketTagging", "owner", tagging.putBucketTags),
  row("DELETE bucket?tagging", "DeleteBucketTagging", "owner", tagging.deleteBucketTags),
  row("GET bucket?versions", "ListObjectVersions", "owner", list.listVersions),
  row("GET bucket?uploads", "ListMultipartUploads", "listing", multipart.listUploads),
  row("POST bucket?delete", "DeleteObjects", "many", deleteObjects),
  row("GET bucket?list-type", "ListObjectsV2", "listing", list.listObjectsV2),
  row("GET bucket", "ListObjects", "listing", list.listObjectsV1),
  row("HEAD bucket", "HeadBucket", "owner", buckets.headBucket),
  row("PUT bucket", "CreateBucket", "owner", buckets.createBucket),
  row("DELETE bucket", "DeleteBucket", "owner", buckets.deleteBucket),

  row("GET object?tagging", "GetObjectTagging", "owner", tagging.getObjectTags),
  row("PUT object?tagging", "PutObjectTagging", "owner", tagging.putObjectTags),
  row("DELETE object?tagging", "DeleteObjectTagging", "owner", tagging.deleteObjectTags),
  row("POST object?uploads", "CreateMultipartUpload", "object", multipart.createUpload),
  row(`PUT object?partNumber&uploadId ${COPY}`, "UploadPartCopy", "object", multipart.uploadPartCopy, "up"),
  row("PUT object?partNumber&uploadId", "UploadPart", "object", multipart.uploadPart, "up"),
  row("POST object?uploadId", "CompleteMultipartUpload", "object", multipart.completeUpload),
  row("DELETE object?uploadId", "AbortMultipartUpload", "object", multipart.abortUpload),
  row("GET object?uploadId", "ListParts", "object", multipart.listParts),
  row("GET object", "GetObject", "object", getObject, "down"),
  row("HEAD object", "HeadObject", "object", headObject),
  row(`PUT object ${COPY}`, "CopyObject", "object", copyObject),
  row("PUT object", "PutObject", "object", putObject, "up"),
  row("DELETE object", "DeleteObject", "object", deleteObject),
];

/** Subresources that S3 has and we do not. */
const ABSENT = [
  "accelerate",
  "acl",
  "analytics",
  "append",
  "attributes",
  "cors",
  "encryption",
  "intelligent-tiering",
  "inventory",
  "legal-hold",
  "lifecycle",
  "logging",
  "metadataConfiguration",
  "metadataTable",
  "metrics",
  "notification",
  "object-lock",
  "ownershipControls",
  "policy",
  "policyStatus",
  "publicAccessBlock",
  "renameObject",
  "replication",
  "requestPayment",
  "restore",
  "retention",
  "select",
  "session",
  "torrent",
  "website",
];

/** @throws S3Error NotImplemented, MethodNotAllowed */
export function route(request: S3Request): Operation {
  const about = request.key !== "" ? "object" : request.bucket !== "" ? "bucket" : "service";
  const absent = ABSENT.find((name) => request.query.has(name));
  if (absent !== undefined)
    throw new S3Error("NotImplemented", `The emulated store does not have the subresource "${absent}".`, {
      fields: { Header: absent },
    });
  const found = ROWS.find(
    (one) =>
      one.method === request.method &&
      one.about === about &&
      one.query.every((name) => request.query.has(name)) &&
      (one.header === undefined || request.headers[one.header] !== undefined),
  );
  if (found) return found;
  throw new S3Error("MethodNotAllowed", "The specified method is not allowed against this resource.", {
    fields: { Method: request.method, ResourceType: about.toUpperCase() },
  });
}
