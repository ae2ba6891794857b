/**
 * What makes a bucket safe to keep checkpoints in, as a table: how each setting is asked for and how it is applied.
 * Stores other than AWS know only some of them; what one lacks is told by name and never stops a stack.
 */
import type { S3Client } from "@aws-sdk/client-s3";
import { type Clock, systemClock } from "../../common/clock.ts";
import { loadS3, type S3Sdk } from "../../common/s3.ts";
import { isTransient, statusOf, storeCodeOf } from "../../common/store-errors.ts";
import { tlsOnlyPolicy } from "./policy.ts";

export const SETTING_NAMES = [
  "versioning",
  "public access block",
  "encryption",
  "TLS-only policy",
  "lifecycle",
] as const;
export type SettingName = (typeof SETTING_NAMES)[number];

/** on · off · the store has no such thing · the keys may not look or set it · tried in vain for now */
export type SettingState = "on" | "off" | "unsupported" | "denied" | "failed";
export type Settings = Record<SettingName, SettingState>;

/** What a setting is applied to. */
export interface Place {
  bucket: string;
  region: string;
  /** Amazon's own: it understands every condition of a policy. */
  isAws: boolean;
  /** Over plain HTTP a TLS-only policy would lock everybody out. */
  isTls: boolean;
  oldVersionDays: number;
}

interface Setting {
  apply(sdk: S3Sdk, client: S3Client, place: Place): Promise<unknown>;
  isOn(sdk: S3Sdk, client: S3Client, place: Place): Promise<boolean>;
  isPointless?(place: Place): boolean;
}

const PUBLIC_ACCESS = {
  BlockPublicAcls: true,
  BlockPublicPolicy: true,
  IgnorePublicAcls: true,
  RestrictPublicBuckets: true,
};
const ABORT_DAYS = 1;
const RULE = "vastlane";

const SETTINGS: Record<SettingName, Setting> = {
  versioning: {
    apply: (sdk, client, { bucket }) =>
      client.send(
        new sdk.PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: "Enabled" } }),
      ),
    isOn: async (sdk, client, { bucket }) =>
      (await client.send(new sdk.GetBucketVersioningCommand({ Bucket: bucket }))).Status === "Enabled",
  },
  "public access block": {
    apply: (sdk, client, { bucket }) =>
      client.send(
        new sdk.PutPublicAccessBlockCommand({ Bucket: bucket, PublicAccessBlockConfiguration: PUBLIC_ACCESS }),
      ),
    isOn: async (sdk, client, { bucket }) => {
      const { PublicAccessBlockConfiguration: found } = await client.send(
        new sdk.GetPublicAccessBlockCommand({ Bucket: bucket }),
      );
      return Object.keys(PUBLIC_ACCESS).every((key) => found?.[key as keyof typeof PUBLIC_ACCESS] === true);
    },
  },
  encryption: {
    apply: (sdk, client, { bucket }) =>
      client.send(
        new sdk.PutBucketEncryptionCommand({
          Bucket: bucket,
          ServerSideEncryptionConfiguration: {
            Rules: [{ ApplyServerSideEncryptionByDefault: { SSEAlgorithm: "AES256" } }],
          },
        }),
      ),
    isOn: async (sdk, client, { bucket }) => {
      const found = await client.send(new sdk.GetBucketEncryptionCommand({ Bucket: bucket }));
      const rules = found.ServerSideEncryptionConfiguration?.Rules ?? [];
      return rules.some((rule) => rule.ApplyServerSideEncryptionByDefault?.SSEAlgorithm !== undefined);
    },
  },
  "TLS-only policy": {
    apply: (sdk, client, place) =>
      client.send(new sdk.PutBucketPolicyCommand({ Bucket: place.bucket, Policy: JSON.stringify(policyFor(place)) })),
    isOn: async (sdk, client, { bucket }) => {
      const { Policy = "{}" } = await client.send(new sdk.GetBucketPolicyCommand({ Bucket: bucket }));
      return /"aws:SecureTransport":\s*"?false/.test(Policy);
    },
    isPointless: ({ isTls }) => !isTls,
  },
  lifecycle: {
    apply: (sdk, client, { bucket, oldVersionDays }) =>
      client.send(
        new sdk.PutBucketLifecycleConfigurationCommand({
          Bucket: bucket,
          LifecycleConfiguration: {
            Rules: [
              {
                ID: RULE,
                Status: "Enabled",
                Filter: { Prefix: "" },
                AbortIncompleteMultipartUpload: { DaysAfterInitiation: ABORT_DAYS },
                NoncurrentVersionExpiration: { NoncurrentDays: oldVersionDays },
                Expiration: { ExpiredObjectDeleteMarker: true },
              },
            ],
          },
        }),
      ),
    isOn: async (sdk, client, { bucket, oldVersionDays }) => {
      const { Rules = [] } = await client.send(new sdk.GetBucketLifecycleConfigurationCommand({ Bucket: bucket }));
      return Rules.some(
        (rule) =>
          rule.Status === "Enabled" &&
          rule.AbortIncompleteMultipartUpload?.DaysAfterInitiation === ABORT_DAYS &&
          rule.NoncurrentVersionExpiration?.NoncurrentDays === oldVersionDays,
      );
    },
  },
};

function policyFor({ bucket, region, isAws }: Place) {
  const policy = tlsOnlyPolicy(bucket, region);
  // Others know `aws:SecureTransport` at best, and refuse a policy with a condition that they do not know.
  return isAws ? policy : { ...policy, Statement: policy.Statement.filter(({ Sid }) => Sid === "TlsOnly") };
}

/** A bucket made a moment ago may not be known everywhere, and S3 aborts two changes of one bucket at a time. */
const PAUSES_MS = [500, 1000, 2000];

/** Applies every setting, one after the other; none of them stops the others. */
export async function applySettings(client: S3Client, place: Place, clock: Clock = systemClock): Promise<Settings> {
  const sdk = await loadS3();
  const states: Partial<Settings> = {};
  for (const pauseMs of [0, ...PAUSES_MS]) {
    const left = SETTING_NAMES.filter((name) => states[name] === undefined || states[name] === "failed");
    if (left.length > 0 && pauseMs > 0) await clock.sleep(pauseMs);
    for (const name of left) states[name] = await applyOne(SETTINGS[name], sdk, client, place);
  }
  return states as Settings;
}

async function applyOne(setting: Setting, sdk: S3Sdk, client: S3Client, place: Place): Promise<SettingState> {
  if (setting.isPointless?.(place)) return "unsupported";
  try {
    await setting.apply(sdk, client, place);
    return "on";
  } catch (error) {
    return storeCodeOf(error) === "NoSuchBucket" ? "failed" : stateOf(error);
  }
}

/** How each setting stands; changes nothing. @throws when there is no such bucket */
export async function readSettings(client: S3Client, place: Place): Promise<Settings> {
  const sdk = await loadS3();
  const states = SETTING_NAMES.map(async (name) => {
    const setting = SETTINGS[name];
    if (setting.isPointless?.(place)) return [name, "unsupported"] as const;
    const state = setting.isOn(sdk, client, place).then((isOn): SettingState => (isOn ? "on" : "off"));
    return [name, await state.catch(stateOf)] as const;
  });
  return Object.fromEntries(await Promise.all(states)) as Settings;
}

const UNSET = new Set([
  "NoSuchBucketPolicy",
  "NoSuchLifecycleConfiguration",
  "NoSuchPublicAccessBlockConfiguration",
  "ServerSideEncryptionConfigurationNotFoundError",
]);
/** How stores say that they have no such setting, or not with these values (seen: versitygw, MinIO, R2, B2's pages). */
const UNSUPPORTED = new Set([
  "InvalidArgument",
  "InvalidRequest",
  "MalformedPolicy",
  "MalformedXML",
  "MethodNotAllowed",
  "NotImplemented",
  "NotSupported",
  "UnsupportedOperation",
]);

/** @throws what concerns the bucket itself, or is a fault of ours. */
function stateOf(error: unknown): SettingState {
  const code = storeCodeOf(error);
  const status = statusOf(error);
  if (UNSET.has(code)) return "off";
  if (status === 501 || status === 405 || UNSUPPORTED.has(code)) return "unsupported";
  if (isTransient(error)) return "failed";
  if (code === "NoSuchBucket" || status === undefined) throw error;
  return status === 403 ? "denied" : "failed";
}

/** Words for what is not as it should be, a line each; none when all is on. `isOurs`: we made the bucket. */
export function describeLacks(bucket: string, settings: Settings, isOurs: boolean, isTls: boolean): string[] {
  const of = (...states: SettingState[]) => SETTING_NAMES.filter((name) => states.includes(settings[name]));
  const lines: string[] = [];
  const say = (names: readonly SettingName[], text: string) => {
    if (names.length > 0) lines.push(`bucket ${bucket}: ${text.replace("{}", names.join(", "))}`);
  };
  say(
    of("unsupported").filter((name) => isTls || name !== "TLS-only policy"),
    "the endpoint does not support {}",
  );
  say(of("denied"), isOurs ? "the keys may not set {}" : "the keys may not look at {}");
  say(of("failed"), "{} could not be set; the next `up` tries again");
  say(of("off"), isOurs ? "{} was switched off; the next `up` sets it again" : "used as it is, without {}");
  return lines;
}
