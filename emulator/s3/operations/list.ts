/** Listings of objects: the second and the first form, and versions. Keys come in the order of their UTF-8 bytes. */
import { isoTime, quoted, type S3Call, type S3Reply } from "../call.ts";
import { S3Error } from "../errors.ts";
import { type S3Request, wholeNumber } from "../request.ts";
import { type Contents, compareKeys } from "../storage/contents.ts";
import type { Version } from "../storage/types.ts";
import { encodePath } from "../uri.ts";
import { element, optional, root, type Written, xml } from "../xml.ts";

const MOST = 1000;
const OWNER = [element("ID", "vastlane"), element("DisplayName", "vastlane")];

export async function listObjectsV2(call: S3Call): Promise<S3Reply> {
  const { query } = call.request;
  const common = commonOf(call.request);
  const token = query.get("continuation-token");
  const startAfter = query.get("start-after");
  const from = token === undefined ? startAfter : parseToken(token);
  const page = pageOf(call.bucket().contents, { ...common, after: from ?? "" });
  const hasOwner = query.get("fetch-owner") === "true";
  const content = [
    ...headOf(call.request, common),
    ...optional("StartAfter", startAfter && common.write(startAfter)),
    ...optional("ContinuationToken", token),
    ...optional("NextContinuationToken", page.next === undefined ? undefined : makeToken(page.next)),
    element("KeyCount", page.entries.length),
    element("MaxKeys", common.most),
    element("IsTruncated", page.next !== undefined),
    ...objectsOf(page, common, hasOwner),
  ];
  return { status: 200, xml: xml(root("ListBucketResult", content)) };
}

export async function listObjectsV1(call: S3Call): Promise<S3Reply> {
  const common = commonOf(call.request);
  const marker = call.request.query.get("marker") ?? "";
  const page = pageOf(call.bucket().contents, { ...common, after: marker });
  const content = [
    ...headOf(call.request, common),
    element("Marker", common.write(marker)),
    // Without a delimiter AWS leaves it out, as the last key says the same; here it is there always.
    ...optional("NextMarker", page.next === undefined ? undefined : common.write(page.next)),
    element("MaxKeys", common.most),
    element("IsTruncated", page.next !== undefined),
    ...objectsOf(page, common, true),
  ];
  return { status: 200, xml: xml(root("ListBucketResult", content)) };
}

export async function listVersions(call: S3Call): Promise<S3Reply> {
  const { query } = call.request;
  const common = commonOf(call.request);
  const { contents } = call.bucket();
  const keyMarker = query.get("key-marker") ?? "";
  const idMarker = query.get("version-id-marker") ?? "";
  if (idMarker !== "" && keyMarker === "")
    throw new S3Error("InvalidArgument", "A version-id marker cannot be specified without a key marker.");
  const entries: Written[] = [];
  let last: { key: string; id: string } | undefined;
  let isTruncated = false;
  const groups = walk(contents, { ...common, after: keyMarker, isAfterIncluded: idMarker !== "" }, () => true);
  outer: for (const { key, prefix } of groups) {
    if (prefix !== undefined) {
      if (entries.length === common.most) {
        isTruncated = true;
        break;
      }
      entries.push(element("CommonPrefixes", [element("Prefix", common.write(prefix))]));
      last = { key: prefix, id: "" };
      continue;
    }
    const versions = contents.versions(key);
    const first = key === keyMarker ? versions.findIndex(({ id }) => id === idMarker) + 1 : 0;
    for (const version of versions.slice(first)) {
      if (entries.length === common.most) {
        isTruncated = true;
        break outer;
      }
      entries.push(versionElement(version, version === versions[0], common));
      last = { key, id: version.id };
    }
  }
  const content = [
    ...headOf(call.request, common),
    element("KeyMarker", common.write(keyMarker)),
    element("VersionIdMarker", idMarker),
    ...(isTruncated && last
      ? [element("NextKeyMarker", common.write(last.key)), ...optional("NextVersionIdMarker", last.id)]
      : []),
    element("MaxKeys", common.most),
    element("IsTruncated", isTruncated),
    ...entries,
  ];
  return { status: 200, xml: xml(root("ListVersionsResult", content)) };
}

export interface Common {
  prefix: string;
  delimiter: string;
  most: number;
  /** A key or prefix as the client wants it written. */
  write(text: string): string;
}

/** Parameters that all listings have, under the names that they have there. */
export function commonOf({ query }: S3Request, mostName = "max-keys"): Common {
  const encoding = query.get("encoding-type");
  if (encoding !== undefined && encoding !== "url")
    throw new S3Error("InvalidArgument", "Invalid Encoding Method specified in Request", {
      fields: { ArgumentName: "encoding-type", ArgumentValue: encoding },
    });
  const most = query.get(mostName);
  return {
    prefix: query.get("prefix") ?? "",
    delimiter: query.get("delimiter") ?? "",
    most: most === undefined ? MOST : Math.min(wholeNumber(most, mostName, 0, 2 ** 31 - 1), MOST),
    write: encoding === "url" ? encodePath : (text) => text,
  };
}

/** Elements that each listing begins with. */
export function headOf({ bucket, query }: S3Request, { prefix, delimiter, write }: Common): Written[] {
  return [
    element("Name", bucket),
    element("Prefix", write(prefix)),
    ...optional("Delimiter", delimiter && write(delimiter)),
    ...optional("EncodingType", query.get("encoding-type")),
  ];
}

/** Keys, or groups of keys up to the delimiter, that come after `after`. */
export interface Group {
  key: string;
  prefix: string | undefined;
}

export function* walk(
  contents: Pick<Contents, "keys" | "positionOf">,
  { prefix, delimiter, after, isAfterIncluded = false }: Common & { after: string; isAfterIncluded?: boolean },
  isThere: (key: string) => boolean,
): Generator<Group> {
  const { keys, positionOf } = contents;
  const begin = compareKeys(after, prefix) > 0 ? after : prefix;
  let previous = "";
  for (let at = positionOf(begin); at < keys.length; at++) {
    const key = keys[at] as string;
    if (!key.startsWith(prefix)) return;
    if (after !== "" && key === after && !isAfterIncluded) continue;
    const end = delimiter === "" ? -1 : key.indexOf(delimiter, prefix.length);
    if (end === -1) {
      if (isThere(key)) yield { key, prefix: undefined };
      continue;
    }
    const group = key.slice(0, end + delimiter.length);
    // A page that ended with this group goes on after all of its keys.
    if (group === previous || group === after || (after !== "" && after.startsWith(group))) continue;
    if (!isThere(key)) continue;
    previous = group;
    yield { key, prefix: group };
  }
}

interface Page {
  entries: { version: Version | undefined; prefix: string | undefined }[];
  /** The last key or group of a page that others follow. */
  next: string | undefined;
}

function pageOf(contents: Contents, query: Common & { after: string }): Page {
  const entries: Page["entries"] = [];
  let last = "";
  const isThere = (key: string) => contents.latest(key)?.isMarker === false;
  for (const { key, prefix } of query.most === 0 ? [] : walk(contents, query, isThere)) {
    if (entries.length === query.most) return { entries, next: last };
    last = prefix ?? key;
    entries.push({ version: prefix === undefined ? contents.latest(key) : undefined, prefix });
  }
  return { entries, next: undefined };
}

function objectsOf({ entries }: Page, common: Common, hasOwner: boolean): Written[] {
  return entries.map(({ version, prefix = "" }) =>
    version
      ? element("Contents", [...objectElements(version, common), ...(hasOwner ? [element("Owner", OWNER)] : [])])
      : element("CommonPrefixes", [element("Prefix", common.write(prefix))]),
  );
}

function objectElements({ key, modified, etag, size, description, checksum }: Version, { write }: Common): Written[] {
  return [
    element("Key", write(key)),
    element("LastModified", isoTime(modified)),
    element("ETag", quoted(etag)),
    ...optional("ChecksumAlgorithm", checksum?.algorithm),
    ...optional("ChecksumType", checksum?.type),
    element("Size", size),
    element("StorageClass", description.storageClass),
  ];
}

function versionElement(version: Version, isLatest: boolean, common: Common): Written {
  const { key, id, modified, isMarker } = version;
  const place = [element("VersionId", id), element("IsLatest", isLatest), element("Owner", OWNER)];
  return isMarker
    ? element("DeleteMarker", [element("Key", common.write(key)), element("LastModified", isoTime(modified)), ...place])
    : element("Version", [...objectElements(version, common), ...place]);
}

function makeToken(last: string): string {
  return Buffer.from(last).toString("base64url");
}

function parseToken(token: string): string {
  const text = Buffer.from(token, "base64url").toString("utf8");
  if (token !== "" && makeToken(text) === token) return text;
  throw new S3Error("InvalidArgument", "The continuation token provided is incorrect", {
    fields: { ArgumentName: "continuation-token" },
  });
}
