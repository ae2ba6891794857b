/** Buckets themselves: make, look, list, delete, location, versioning. */

import { REGION } from "../authenticate.ts";
import { receiveText } from "../body.ts";
import { isoTime, type S3Call, type S3Reply } from "../call.ts";
import { S3Error } from "../errors.ts";
import { wholeNumber } from "../request.ts";
import { childText, element, optional, root, xml } from "../xml.ts";
import { parseBody } from "./bodies.ts";

export async function createBucket(call: S3Call): Promise<S3Reply> {
  const { request, caller } = call;
  if (request.headers["x-amz-bucket-object-lock-enabled"]?.toLowerCase() === "true")
    throw new S3Error("NotImplemented", "Object lock is not implemented.", {
      fields: { Header: "x-amz-bucket-object-lock-enabled" },
    });
  const text = await receiveText(request, caller.body);
  const constraint =
    text === "" ? undefined : childText(parseBody(text, "CreateBucketConfiguration"), "LocationConstraint");
  if (constraint && constraint !== REGION)
    throw new S3Error(
      "IllegalLocationConstraintException",
      `The ${constraint} location constraint is incompatible for the region specific endpoint this request was sent to.`,
    );
  await call.store.create(request.bucket, { created: call.now(), tags: {} });
  return { status: 200, headers: { location: `/${request.bucket}` } };
}

export async function headBucket(call: S3Call): Promise<S3Reply> {
  call.bucket();
  return { status: 200, headers: { "x-amz-bucket-region": REGION, "x-amz-access-point-alias": "false" } };
}

export async function deleteBucket(call: S3Call): Promise<S3Reply> {
  await call.store.remove(call.request.bucket);
  return { status: 204 };
}

export async function listBuckets(call: S3Call): Promise<S3Reply> {
  const { query } = call.request;
  const prefix = query.get("prefix") ?? "";
  const most = wholeNumber(query.get("max-buckets") ?? "10000", "max-buckets", 1, 10_000);
  const after = Buffer.from(query.get("continuation-token") ?? "", "base64url").toString("utf8");
  const found = call.store.buckets().filter(({ name }) => name.startsWith(prefix) && name > after);
  const shown = found.slice(0, most);
  const last = found.length > shown.length ? shown.at(-1)?.name : undefined;
  return {
    status: 200,
    xml: xml(
      root("ListAllMyBucketsResult", [
        element("Owner", [element("ID", "vastlane"), element("DisplayName", "vastlane")]),
        element(
          "Buckets",
          shown.map(({ name, contents }) =>
            element("Bucket", [
              element("Name", name),
              element("CreationDate", isoTime(contents.settings.created)),
              element("BucketRegion", REGION),
            ]),
          ),
        ),
        ...optional("Prefix", prefix),
        ...optional("ContinuationToken", last && Buffer.from(last).toString("base64url")),
      ]),
    ),
  };
}

/** Empty for us-east-1, as AWS has it. */
export async function getLocation(call: S3Call): Promise<S3Reply> {
  call.bucket();
  return { status: 200, xml: xml(root("LocationConstraint")) };
}

export async function getVersioning(call: S3Call): Promise<S3Reply> {
  const { versioning } = call.bucket().contents.settings;
  const content = versioning === "off" ? [] : [element("Status", versioning)];
  return { status: 200, xml: xml(root("VersioningConfiguration", content)) };
}

export async function putVersioning(call: S3Call): Promise<S3Reply> {
  const bucket = call.bucket();
  const body = parseBody(await receiveText(call.request, call.caller.body), "VersioningConfiguration");
  const versioning = childText(body, "Status");
  if (childText(body, "MfaDelete") === "Enabled") throw new S3Error("NotImplemented", "MFA delete is not implemented.");
  if (versioning !== "Enabled" && versioning !== "Suspended")
    throw new S3Error("MalformedXML", "The versioning status must be Enabled or Suspended");
  await bucket.alone("", () =>
    bucket.commit([{ do: "settings", settings: { ...bucket.contents.settings, versioning } }]),
  );
  return { status: 200 };
}
