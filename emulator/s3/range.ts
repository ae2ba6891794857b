/** The `Range` header. Pure. */
import { S3Error } from "./errors.ts";

export interface Span {
  start: number;
  /** Exclusive. */
  end: number;
}

/**
 * The part of `size` bytes that a header means; undefined: the whole, as for a header that cannot be read or that asks
 * for several parts, which S3 does not have. @throws S3Error InvalidRange when nothing of it is there
 */
export function parseRange(header: string | undefined, size: number): Span | undefined {
  const [, from, to] = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? "") ?? [];
  if (from === undefined || to === undefined || (from === "" && to === "")) return undefined;
  if (from !== "" && to !== "" && Number(to) < Number(from)) return undefined;
  const start = from === "" ? Math.max(size - Number(to), 0) : Number(from);
  const end = from === "" || to === "" ? size : Math.min(Number(to) + 1, size);
  if (start < end) return { start, end };
  throw new S3Error("InvalidRange", "The requested range is not satisfiable", {
    fields: { RangeRequested: header ?? "", ActualObjectSize: size },
    headers: { "Content-Range": `bytes */${size}` },
  });
}

/** `bytes=first-last` of x-amz-copy-source-range, which must lie inside. */
export function parseCopyRange(header: string | undefined, size: number): Span {
  if (header === undefined) return { start: 0, end: size };
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(header.trim()) ?? [];
  const span = { start: Number(first), end: Number(last) + 1 };
  if (first !== undefined && span.start < span.end && span.end <= size) return span;
  throw new S3Error("InvalidArgument", `Range specified is not valid for source object of size: ${size}`, {
    fields: { ArgumentName: "x-amz-copy-source-range", ArgumentValue: header },
  });
}
