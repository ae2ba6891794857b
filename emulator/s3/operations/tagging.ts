/** Tags of buckets and of objects. */
import { receiveText } from "../body.ts";
import type { S3Call, S3Reply } from "../call.ts";
import { checkTags } from "../description.ts";
import { S3Error } from "../errors.ts";
import { children, childText, element, root, xml } from "../xml.ts";
import { parseBody } from "./bodies.ts";
import { findVersion, versionHeaders } from "./read.ts";

const MOST_BUCKET_TAGS = 50;

export async function getBucketTags(call: S3Call): Promise<S3Reply> {
  const { tags } = call.bucket().contents.settings;
  if (Object.keys(tags).length === 0) throw new S3Error("NoSuchTagSet", "The TagSet does not exist");
  return { status: 200, xml: tagXml(tags) };
}

export async function putBucketTags(call: S3Call): Promise<S3Reply> {
  return setBucketTags(call, await tagsOf(call, MOST_BUCKET_TAGS));
}

export async function deleteBucketTags(call: S3Call): Promise<S3Reply> {
  return setBucketTags(call, {});
}

export async function getObjectTags(call: S3Call): Promise<S3Reply> {
  const bucket = call.bucket();
  const version = findVersion(bucket, call.request.key, call.request.query.get("versionId"));
  return { status: 200, headers: versionHeaders(bucket, version), xml: tagXml(version.description.tags) };
}

export async function putObjectTags(call: S3Call): Promise<S3Reply> {
  const headers = await setObjectTags(call, await tagsOf(call));
  return { status: 200, headers };
}

export async function deleteObjectTags(call: S3Call): Promise<S3Reply> {
  return { status: 204, headers: await setObjectTags(call, {}) };
}

async function setBucketTags(call: S3Call, tags: Record<string, string>): Promise<S3Reply> {
  const bucket = call.bucket();
  await bucket.alone("", () => bucket.commit([{ do: "settings", settings: { ...bucket.contents.settings, tags } }]));
  return { status: 204 };
}

async function setObjectTags(call: S3Call, tags: Record<string, string>): Promise<Record<string, string>> {
  const bucket = call.bucket();
  const { key, query } = call.request;
  return bucket.alone(key, async () => {
    const version = findVersion(bucket, key, query.get("versionId"));
    const changed = { ...version, description: { ...version.description, tags } };
    await bucket.commit([{ do: "amend", version: changed }]);
    return versionHeaders(bucket, version);
  });
}

async function tagsOf(call: S3Call, most?: number): Promise<Record<string, string>> {
  const body = parseBody(await receiveText(call.request, call.caller.body), "Tagging");
  const tags = children(body, "TagSet").flatMap((set) => children(set, "Tag"));
  return checkTags(
    tags.map((tag) => [childText(tag, "Key") ?? "", childText(tag, "Value") ?? ""] as const),
    most,
  );
}

function tagXml(tags: Record<string, string>): string {
  const list = Object.entries(tags).map(([key, value]) =>
    element("Tag", [element("Key", key), element("Value", value)]),
  );
  return xml(root("Tagging", [element("TagSet", list)]));
}
