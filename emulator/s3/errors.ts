/** What S3 answers when it says no: code, status and text as AWS has them, and the XML that carries them. */
import { element, xml } from "./xml.ts";

/** Codes with their HTTP status. Source: "Error responses" of the Amazon S3 API reference. */
const STATUS = {
  AccessDenied: 403,
  AuthorizationHeaderMalformed: 400,
  AuthorizationQueryParametersError: 400,
  BadDigest: 400,
  BucketAlreadyOwnedByYou: 409,
  BucketNotEmpty: 409,
  EntityTooLarge: 400,
  EntityTooSmall: 400,
  IllegalLocationConstraintException: 400,
  IncompleteBody: 400,
  InsufficientStorage: 507, // not one of AWS's, whose disks are never full
  InternalError: 500,
  InvalidAccessKeyId: 403,
  InvalidArgument: 400,
  InvalidBucketName: 400,
  InvalidChunkSizeError: 403,
  InvalidDigest: 400,
  InvalidPart: 400,
  InvalidPartOrder: 400,
  InvalidRange: 416,
  InvalidRequest: 400,
  InvalidStorageClass: 400,
  InvalidTag: 400,
  InvalidToken: 400,
  InvalidURI: 400,
  KeyTooLongError: 400,
  MalformedTrailerError: 400,
  MalformedXML: 400,
  MetadataTooLarge: 400,
  MethodNotAllowed: 405,
  MissingContentLength: 411,
  NoSuchBucket: 404,
  NoSuchKey: 404,
  NoSuchTagSet: 404,
  NoSuchUpload: 404,
  NoSuchVersion: 404,
  NotImplemented: 501,
  NotModified: 304,
  PreconditionFailed: 412,
  RequestTimeTooSkewed: 403,
  ServiceUnavailable: 503,
  SignatureDoesNotMatch: 403,
  SlowDown: 503,
  XAmzContentSHA256Mismatch: 400,
} as const;

export type S3Code = keyof typeof STATUS;

/** An answer that says no. `fields` are further elements of the XML, `headers` go out with it. */
export class S3Error extends Error {
  readonly code: string;
  readonly status: number;
  readonly fields: Record<string, string | number>;
  readonly headers: Record<string, string>;

  constructor(
    code: S3Code,
    message: string,
    more: { fields?: Record<string, string | number>; headers?: Record<string, string> } = {},
  ) {
    super(message);
    this.code = code;
    this.status = STATUS[code];
    this.fields = more.fields ?? {};
    this.headers = more.headers ?? {};
  }
}

/** An error of any status and code, for faults that were asked for. */
export function madeUpError(status: number, code: string): { status: number; code: string; message: string } {
  return { status, code, message: "A fault that was switched on with `vastlane emulator fault`." };
}

/** The body of an answer that says no. */
export function errorXml(
  error: { code: string; message: string; fields?: Record<string, string | number> },
  about: { resource: string; requestId: string },
): string {
  return xml(
    element("Error", [
      element("Code", error.code),
      element("Message", error.message),
      ...Object.entries(error.fields ?? {}).map(([name, value]) => element(name, value)),
      element("Resource", about.resource),
      element("RequestId", about.requestId),
      element("HostId", "vastlane-emulator"),
    ]),
  );
}

/** The file system's errors in S3's words; undefined for what is a mistake of ours. */
export function storageError(error: unknown): S3Error | undefined {
  const { code, path } = error as NodeJS.ErrnoException;
  if (code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG")
    return new S3Error("InsufficientStorage", `The disk that holds the emulated store is full (${code}).`);
  if (code === "EROFS" || code === "EACCES" || code === "EPERM" || code === "EIO")
    return new S3Error("InternalError", `The emulated store cannot write ${path ?? "its files"} (${code}).`);
  return undefined;
}
