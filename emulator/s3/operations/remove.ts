/** DELETE of one object or of many, with and without versions. */
import { receiveText } from "../body.ts";
import type { S3Call, S3Reply } from "../call.ts";
import { checkDelete } from "../conditions.ts";
import { S3Error } from "../errors.ts";
import type { Bucket } from "../storage/bucket.ts";
import { type Change, NULL_ID, type Version } from "../storage/types.ts";
import { children, childText, element, optional, root, type Written, xml } from "../xml.ts";
import { parseBody } from "./bodies.ts";
import { currentObject } from "./read.ts";
import { newId } from "./write.ts";

const MOST_KEYS = 1000;
/** Conditions that only directory buckets have. */
const UNKNOWN_CONDITIONS = ["x-amz-if-match-last-modified-time", "x-amz-if-match-size"];

export async function deleteObject(call: S3Call): Promise<S3Reply> {
  const { key, query, headers } = call.request;
  const unknown = UNKNOWN_CONDITIONS.find((name) => headers[name] !== undefined);
  if (unknown)
    throw new S3Error("NotImplemented", "A header you provided implies functionality that is not implemented", {
      fields: { Header: unknown },
    });
  const gone = await remove(call, { key, id: query.get("versionId"), match: headers["if-match"] });
  return {
    status: 204,
    headers: {
      ...(gone.versionId !== undefined && { "x-amz-version-id": gone.versionId }),
      ...(gone.isMarker && { "x-amz-delete-marker": "true" }),
    },
  };
}

export async function deleteObjects(call: S3Call): Promise<S3Reply> {
  const body = parseBody(await receiveText(call.request, call.caller.body), "Delete");
  const wanted = children(body, "Object").map((node) => ({
    key: childText(node, "Key") ?? "",
    id: childText(node, "VersionId") || undefined,
    match: childText(node, "ETag") || undefined,
  }));
  if (wanted.length === 0 || wanted.length > MOST_KEYS || wanted.some(({ key }) => key === ""))
    throw new S3Error("MalformedXML", `The XML you provided must have from 1 to ${MOST_KEYS} keys`);
  const isQuiet = childText(body, "Quiet")?.toLowerCase() === "true";
  call.bucket();
  const results: Written[] = [];
  for (const one of wanted) {
    const answer = await removeOf(call, one);
    if (!(isQuiet && answer.isDone)) results.push(answer.element);
  }
  return { status: 200, xml: xml(root("DeleteResult", results)) };
}

interface Wanted {
  key: string;
  id: string | undefined;
  match: string | undefined;
}

interface Gone {
  /** Of what was deleted, or of the marker that hides it now; undefined where there are no versions. */
  versionId: string | undefined;
  /** A marker was made, or deleted. */
  isMarker: boolean;
}

/** One of many: a failure is an element of the answer. */
async function removeOf(call: S3Call, wanted: Wanted): Promise<{ isDone: boolean; element: Written }> {
  const named = [element("Key", wanted.key), ...optional("VersionId", wanted.id)];
  try {
    if (wanted.id !== undefined && call.caller.grant !== null) throw new S3Error("AccessDenied", "Access Denied");
    if (!call.mayUse(wanted.key)) throw new S3Error("AccessDenied", "Access Denied");
    const gone = await remove(call, wanted);
    const marker = gone.isMarker
      ? [element("DeleteMarker", true), ...optional("DeleteMarkerVersionId", gone.versionId)]
      : [];
    return { isDone: true, element: element("Deleted", [...named, ...marker]) };
  } catch (error) {
    if (!(error instanceof S3Error)) throw error;
    const why = [element("Code", error.code), element("Message", error.message)];
    return { isDone: false, element: element("Error", [...named, ...why]) };
  }
}

async function remove(call: S3Call, { key, id, match }: Wanted): Promise<Gone> {
  const bucket = call.bucket();
  return bucket.alone(key, async () => {
    const { contents } = bucket;
    const target = id === undefined ? currentObject(bucket, key) : contents.find(key, id);
    checkDelete(match, target);
    if (id !== undefined) {
      if (target) await bucket.commit([{ do: "remove", key, id }]);
      return { versionId: id, isMarker: target?.isMarker ?? false };
    }
    const { versioning } = contents.settings;
    if (versioning === "off") {
      if (target) await bucket.commit([{ do: "remove", key, id: target.id }]);
      return { versionId: undefined, isMarker: false };
    }
    const marker = markerOf(bucket, key, call.now());
    await bucket.commit([{ do: "put", version: marker } satisfies Change]);
    return { versionId: marker.id, isMarker: true };
  });
}

function markerOf(bucket: Bucket, key: string, modified: number): Version {
  return {
    key,
    id: bucket.contents.settings.versioning === "Enabled" ? newId() : NULL_ID,
    isMarker: true,
    modified,
    size: 0,
    etag: "",
    pieces: [],
    description: { headers: {}, metadata: {}, tags: {}, storageClass: "STANDARD" },
    checksum: null,
  };
}
