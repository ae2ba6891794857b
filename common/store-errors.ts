/**
 * What S3 and the network say when a request fails, in words for people and in facts for code. The codes are S3's own
 * (a HEAD has no body, so there only the status speaks); names of the SDK's classes are never matched on text.
 */
import { type ErrorCode, type ErrorText, messageOf, UserError } from "./errors.ts";

/** What the request was about, for the message. */
export interface StoreContext {
  bucket?: string | undefined;
  /** None: AWS. */
  endpoint?: string | null | undefined;
  region?: string | null | undefined;
  /** What could not be done, e.g. "the upload of checkpoints/step-200". */
  action?: string | undefined;
  /** Where the keys come from, for the hint; default: AWS's own chain. */
  keysFrom?: string | undefined;
}

interface Kind {
  error: ErrorCode;
  text(bucket: string, at: string, context: StoreContext, error: unknown): ErrorText;
}

const DENIED: Kind = {
  error: "VL_STORE_DENIED",
  text: (bucket, at, { action, keysFrom }, error) => ({
    what: `The store${at} refuses ${action ?? `access to ${bucket}`}.`,
    why: isExpired(error) ? "the keys have expired." : withDot(reasonOf(error)),
    hint: isExpired(error)
      ? `get new keys (for SSO: aws sso login), then try again; keys are read from ${keysFrom ?? KEY_PLACES}`
      : `check the keys (${keysFrom ?? KEY_PLACES}) and that they may list, read and write ${bucket}`,
  }),
};
const NO_BUCKET: Kind = {
  error: "VL_STORE_NO_BUCKET",
  text: (bucket, at, { action }) => ({
    what: `${capital(bucket)} does not exist${at}.`,
    why: `${action ?? "the request"} needs it.`,
    hint: "correct vastlane:checkpoint.s3_bucket, or let `vastlane up` make the bucket",
  }),
};
const REGION: Kind = {
  error: "VL_STORE_REGION",
  text: (bucket, _at, { region }, error) => {
    const right = regionOf(error);
    return {
      what: `${capital(bucket)} is in ${right ? `region ${right}` : "another region"}${region ? `, not in ${region}` : ""}.`,
      why: "a store answers only in the bucket's own region.",
      hint: `set vastlane:checkpoint.region (or AWS_REGION) to ${right ?? "<region of the bucket>"}`,
    };
  },
};
const CLOCK: Kind = {
  error: "VL_STORE_CLOCK",
  text: (_bucket, at, _context, error) => ({
    what: `The store${at} refuses requests because of the time in them.`,
    why: withDot(reasonOf(error)),
    hint: "set this computer's clock (timedatectl set-ntp true), then try again",
  }),
};
const REFUSED: Kind = {
  error: "VL_BUCKET_REFUSED",
  text: (bucket, at, _context, error) => ({
    what: `The store${at} refuses ${bucket}.`,
    why: withDot(reasonOf(error)),
    hint: "choose another name: 3 to 63 characters of a-z, 0-9 and -, and nobody else's",
  }),
};
const FULL: Kind = {
  error: "VL_DISK_FULL",
  text: (_bucket, at, { action }, error) => ({
    what:
      errnoOf(error) === undefined
        ? `The disk of the store${at} is full.`
        : `The disk is full${action ? `: ${action} stopped` : ""}.`,
    why: withDot(reasonOf(error)),
    hint: "free some space, then try again: what was transferred so far is used",
  }),
};
const NO_KEY: Kind = {
  error: "VL_STORE_NO_KEY",
  text: (bucket, at, { keysFrom }) => ({
    what: `No keys for ${bucket}${at} were found.`,
    why: `looked in ${keysFrom ?? KEY_PLACES}.`,
    hint: "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
  }),
};
const NO_REGION: Kind = {
  error: "VL_STORE_REGION",
  text: (bucket) => ({
    what: `The region of ${bucket} is not known.`,
    why: "neither AWS_REGION nor the AWS profile names one.",
    hint: "set AWS_REGION to the bucket's region",
  }),
};
const DOWN: Kind = {
  error: "VL_STORE_DOWN",
  text: (bucket, at, { action }, error) => ({
    what: `The store${at || ` of ${bucket}`} cannot be reached or does not answer as it should.`,
    why: withDot(`${action ? `${action}: ` : ""}${reasonOf(error)}`),
    hint: "try again later; nothing that was stored is lost",
  }),
};
const FAILED: Kind = {
  error: "VL_STORE_FAILED",
  text: (bucket, at, { action }, error) => ({
    what: `The store${at} did not do ${action ?? `what was asked about ${bucket}`}.`,
    why: withDot(reasonOf(error)),
    hint: "the store may lack this function of S3: its documentation says",
  }),
};

const KEY_PLACES = "AWS_ACCESS_KEY_ID, AWS profiles and roles";

const BY_CODE: Record<string, Kind> = {
  AccessDenied: DENIED,
  AllAccessDisabled: DENIED,
  AccountProblem: DENIED,
  ExpiredToken: DENIED,
  ExpiredTokenException: DENIED,
  Forbidden: DENIED,
  InvalidAccessKeyId: DENIED,
  XAdminUserNotFound: DENIED, // versitygw
  InvalidSecurity: DENIED,
  InvalidToken: DENIED,
  NotSignedUp: DENIED,
  SignatureDoesNotMatch: DENIED,
  TokenRefreshRequired: DENIED,
  Unauthorized: DENIED,
  NoSuchBucket: NO_BUCKET,
  AuthorizationHeaderMalformed: REGION,
  IllegalLocationConstraintException: REGION,
  PermanentRedirect: REGION,
  Redirect: REGION,
  RequestExpired: CLOCK,
  RequestInTheFuture: CLOCK,
  RequestTimeTooSkewed: CLOCK,
  BucketAlreadyExists: REFUSED,
  InvalidBucketName: REFUSED,
  TooManyBuckets: REFUSED,
  InvalidLocationConstraint: REFUSED,
  InsufficientStorage: FULL,
  XMinioStorageFull: FULL,
  CredentialsProviderError: NO_KEY,
};

/** A `UserError` is passed on as it is; everything else becomes the one that fits. */
export function storeErrorOf(error: unknown, context: StoreContext = {}): UserError {
  if (error instanceof UserError) return error;
  const bucket = context.bucket ? `bucket ${context.bucket}` : "the bucket";
  const at = context.endpoint ? ` at ${context.endpoint}` : "";
  const kind = kindOf(error);
  return new UserError(kind.error, { ...kind.text(bucket, at, context, error), cause: error });
}

function kindOf(error: unknown): Kind {
  const errno = errnoOf(error);
  if (errno === "ENOSPC" || errno === "EDQUOT") return FULL;
  const code = storeCodeOf(error);
  const known = BY_CODE[code];
  if (known) return known;
  if (isTransient(error)) return DOWN;
  const status = statusOf(error);
  if (status === 301 || status === 307) return REGION;
  if (status === 401 || status === 403) return DENIED;
  if (status === 507) return FULL;
  if (status === undefined && messageOf(error) === "Region is missing") return NO_REGION; // it has no code
  return status === undefined ? DOWN : FAILED;
}

/** S3's code (`NoSuchKey`) as the SDK gives it: the error's name. */
export function storeCodeOf(error: unknown): string {
  const { name, Code } = (error ?? {}) as { name?: string; Code?: string };
  return Code ?? name ?? "";
}

/** HTTP status of the answer; undefined when there was none. */
export function statusOf(error: unknown): number | undefined {
  const { $metadata } = (error ?? {}) as { $metadata?: { httpStatusCode?: number } };
  return $metadata?.httpStatusCode;
}

/** Whether the same request may succeed later: no answer, a broken one, a 5xx, or "slow down". */
export function isTransient(error: unknown): boolean {
  const status = statusOf(error);
  if (status !== undefined && (status >= 500 || status === 429) && status !== 501 && status !== 507) return true;
  if (TRANSIENT_CODES.has(storeCodeOf(error))) return true;
  const errno = errnoOf(error);
  return errno !== undefined && NETWORK.has(errno);
}

/** Whether a failed request has certainly not reached the store, so that repeating it cannot do it twice. */
export function hasNotArrived(error: unknown): boolean {
  const errno = errnoOf(error);
  if (errno !== undefined) return UNSENT.has(errno);
  return UNDONE_CODES.has(storeCodeOf(error)) || statusOf(error) === 429;
}

const TRANSIENT_CODES = new Set(["TimeoutError", "RequestTimeout", "SlowDown", "ThrottlingException", "Throttling"]);
const UNDONE_CODES = new Set(["SlowDown", "ConditionalRequestConflict", "OperationAborted", "Throttling"]);
const UNSENT = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH"]);
const NETWORK = new Set([...UNSENT, "ECONNRESET", "ECONNABORTED", "EPIPE", "ETIMEDOUT", "ERR_STREAM_PREMATURE_CLOSE"]);

function errnoOf(error: unknown): string | undefined {
  const { code, cause } = (error ?? {}) as { code?: unknown; cause?: unknown };
  if (typeof code === "string") return code;
  return cause === undefined || cause === error ? undefined : errnoOf(cause);
}

/** The bucket's own region, where the answer names it. */
function regionOf(error: unknown): string | undefined {
  const { Region, BucketRegion, $response } = error as {
    Region?: string;
    BucketRegion?: string;
    $response?: { headers?: Record<string, string> };
  };
  return $response?.headers?.["x-amz-bucket-region"] ?? Region ?? BucketRegion;
}

const isExpired = (error: unknown) => /^ExpiredToken|^TokenRefreshRequired$/.test(storeCodeOf(error));

/** The store's own words, with its code where the words do not say it. */
function reasonOf(error: unknown): string {
  const message = messageOf(error).trim();
  const status = statusOf(error);
  const code = storeCodeOf(error);
  const isTelling = message !== "" && message !== code && message !== "UnknownError";
  const words = isTelling
    ? message
    : `it answered ${[...new Set([String(status ?? ""), code])].filter(Boolean).join(" ")}`;
  return code && isTelling && code !== "Error" && status !== undefined
    ? `${words.replace(/\.$/, "")} (${code})`
    : words;
}

const withDot = (text: string) => (/[.!?]$/.test(text) ? text : `${text}.`);
const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);
