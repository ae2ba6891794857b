/** Conditional requests: whether a read or a write may happen to the version that is there. Pure. */
import { quoted } from "./call.ts";
import { S3Error } from "./errors.ts";
import type { Version } from "./storage/types.ts";

type Headers = Record<string, string | undefined>;

/** Headers that ask for a condition on a write. */
export const WRITE_CONDITIONS = ["if-match", "if-none-match"] as const;

/**
 * A write to `current` (undefined: nothing is there, or a delete marker is the newest).
 * @throws S3Error PreconditionFailed, NoSuchKey, NotImplemented
 */
export function checkWrite(headers: Headers, current: Version | undefined): void {
  const match = headers["if-match"];
  const noneMatch = headers["if-none-match"];
  if (noneMatch !== undefined) {
    if (noneMatch.trim() !== "*")
      throw new S3Error("NotImplemented", "A header you provided implies functionality that is not implemented", {
        fields: {
          Header: "If-None-Match",
          additionalMessage: "We don't accept the provided value of If-None-Match header for this API",
        },
      });
    if (current) throw failed("If-None-Match");
  }
  if (match === undefined) return;
  if (!current) throw new S3Error("NoSuchKey", "The specified key does not exist.");
  if (!matches(match, current.etag)) throw failed("If-Match");
}

/** A delete: nothing there is no error of its own, but it fits no condition either. */
export function checkDelete(match: string | undefined, current: Version | undefined): void {
  if (match === undefined) return;
  if (!current) throw new S3Error("NoSuchKey", "The specified key does not exist.");
  if (!matches(match, current.etag)) throw failed("If-Match");
}

/** Source: RFC 9110, 13.2.2. @throws S3Error PreconditionFailed, NotModified */
export function checkRead(headers: Headers, version: Version): void {
  const verdict = judge(headers, version, "");
  if (verdict === undefined) return;
  if (verdict === "If-None-Match" || verdict === "If-Modified-Since")
    throw new S3Error("NotModified", "Not Modified", { headers: { ETag: quoted(version.etag) } });
  throw failed(verdict);
}

/** The same for the source of a copy, where every "no" is a failure. */
export function checkCopySource(headers: Headers, version: Version): void {
  const verdict = judge(headers, version, "x-amz-copy-source-");
  if (verdict !== undefined) throw failed(`x-amz-copy-source-${verdict}`);
}

/** The name of the condition that does not hold. */
function judge(headers: Headers, version: Version, prefix: string): string | undefined {
  const match = headers[`${prefix}if-match`];
  const noneMatch = headers[`${prefix}if-none-match`];
  const since = time(headers[`${prefix}if-modified-since`]);
  const until = time(headers[`${prefix}if-unmodified-since`]);
  if (match !== undefined) {
    if (!matches(match, version.etag)) return "If-Match";
  } else if (until !== undefined && version.modified > until) return "If-Unmodified-Since";
  if (noneMatch !== undefined) {
    if (matches(noneMatch, version.etag)) return "If-None-Match";
  } else if (since !== undefined && version.modified <= since) return "If-Modified-Since";
  return undefined;
}

function matches(list: string, etag: string): boolean {
  return list.split(",").some((one) => {
    const text = one
      .trim()
      .replace(/^W\//, "")
      .replace(/^"(.*)"$/, "$1");
    return text === "*" || text === etag;
  });
}

function time(text: string | undefined): number | undefined {
  const ms = Date.parse(text ?? "");
  return Number.isNaN(ms) ? undefined : ms;
}

function failed(condition: string): S3Error {
  return new S3Error("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", {
    fields: { Condition: condition },
  });
}
