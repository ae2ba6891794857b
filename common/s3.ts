/**
 * One way to make an S3 client, for AWS and for everything that speaks like it: keys given or found by AWS's own
 * chain, waits that end, checksums only where S3 asks for them (many stores know no others).
 * The SDK takes 70 ms to load, so it is imported at the first client and not with this file.
 * Errors for people: store-errors.ts.
 */
import type { S3Client } from "@aws-sdk/client-s3";

/** Where a store is and how to get in. Without keys, AWS's chain is asked: environment, profiles, SSO, roles. */
export interface S3Access {
  /** `http(s)://host:port`; none: AWS itself. */
  endpoint?: string | null | undefined;
  /** None: AWS_REGION, AWS_DEFAULT_REGION, the profile's; `us-east-1` for an endpoint that is not AWS. */
  region?: string | null | undefined;
  accessKeyId?: string | null | undefined;
  secretAccessKey?: string | null | undefined;
  sessionToken?: string | null | undefined;
  /** An AWS profile by name, where no keys are given; default: AWS_PROFILE. */
  profile?: string | null | undefined;
  /** `endpoint/bucket/key` instead of `bucket.endpoint/key`. Default: for every endpoint that is not AWS. */
  pathStyle?: boolean | null | undefined;
}

export interface S3Tuning {
  /** Tries of a request, the first one counted. 1: none is repeated, so the caller knows what each try has done. */
  attempts?: number;
  /** Connections open at a time. */
  connections?: number;
  /** A connection on which nothing moves for so long is given up, in ms. */
  idleMs?: number;
  /** A whole request, in ms; 0 (the default): as long as something moves, for transfers. */
  requestMs?: number;
  connectMs?: number;
  env?: NodeJS.ProcessEnv;
}

export type S3Sdk = typeof import("@aws-sdk/client-s3");

/** The SDK's commands and types, loaded at the first call. */
export const loadS3 = (): Promise<S3Sdk> => import("@aws-sdk/client-s3");

/**
 * A client. 5xx, 503 SlowDown, resets and time-outs are tried again with growing waits (SDK mode "standard": its
 * "adaptive" falls to one request in two seconds after a single SlowDown). A wrong clock is corrected once by the
 * SDK from the server's answer. Close it with `destroy()`.
 */
export async function createS3(access: S3Access, tuning: S3Tuning = {}): Promise<S3Client> {
  const { S3Client } = await loadS3();
  const env = tuning.env ?? process.env;
  const region = access.region || env.AWS_REGION || env.AWS_DEFAULT_REGION || (access.endpoint ? "us-east-1" : "");
  const connections = { keepAlive: true, maxSockets: tuning.connections ?? 16 };
  return new S3Client({
    ...(region ? { region } : {}),
    ...(access.endpoint ? { endpoint: access.endpoint } : {}),
    ...(access.accessKeyId && access.secretAccessKey
      ? {
          credentials: {
            accessKeyId: access.accessKeyId,
            secretAccessKey: access.secretAccessKey,
            ...(access.sessionToken ? { sessionToken: access.sessionToken } : {}),
          },
        }
      : {}),
    ...(access.profile ? { profile: access.profile } : {}),
    forcePathStyle: access.pathStyle ?? isForeign(access.endpoint),
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    retryMode: "standard",
    maxAttempts: tuning.attempts ?? 5,
    requestHandler: {
      connectionTimeout: tuning.connectMs ?? 5_000,
      socketTimeout: tuning.idleMs ?? 30_000,
      requestTimeout: tuning.requestMs ?? 0,
      throwOnRequestTimeout: true,
      httpAgent: connections,
      httpsAgent: connections,
    },
  });
}

/** Whether an endpoint is not Amazon's own; buckets as host names need DNS that others seldom have. */
function isForeign(endpoint: string | null | undefined): boolean {
  return Boolean(endpoint) && !/\.amazonaws\.com(\.cn)?(:\d+)?\/?$/.test(endpoint ?? "");
}
