/**
 * Names that every S3 store accepts: buckets by the rules of S3 itself, prefixes without characters that mean
 * something in a policy or a path. Pure.
 */

const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const RESERVED = /^(xn--|sthree-|amzn-s3-demo-)|(-s3alias|--ol-s3|--x-s3|--table-s3|\.mrap)$/;

/** For a message: "a bucket name: ...". */
export const BUCKET_RULES =
  "a bucket name: 3 to 63 characters of a-z, 0-9, - and ., a letter or digit at either end, no two dots together, no IP address, none of S3's reserved beginnings and endings (xn--, -s3alias ...)";

/** Source: the naming rules of general purpose buckets in the S3 user guide. */
export function isBucketName(name: string): boolean {
  return BUCKET.test(name) && !name.includes("..") && !/^\d+(\.\d+){3}$/.test(name) && !RESERVED.test(name);
}

export const PREFIX_RULES =
  "a prefix such as checkpoints/dev: letters, digits, - _ . = in parts between single slashes";

/**
 * A prefix of keys that can stand in a policy's `Resource` as it is: no `*`, `?` or `$`, which would widen it, and
 * no part `.` or `..`, which clients resolve. Slashes at the ends are allowed and mean nothing.
 */
export function isPrefix(prefix: string): boolean {
  const parts = trimSlashes(prefix).split("/");
  return trimSlashes(prefix) === "" || parts.every((part) => /^[\w.=-]+$/.test(part) && !/^\.{1,2}$/.test(part));
}

export function trimSlashes(path: string): string {
  return path.replace(/^\/+|\/+$/g, "");
}

/** `a/b` of `a` and `b`; either may be empty. */
export function joinKey(prefix: string, rest: string): string {
  return [trimSlashes(prefix), trimSlashes(rest)].filter(Boolean).join("/");
}
