/**
 * Policies as documents: what a run may do with the store, and what nobody may do with the bucket. Pure.
 * A run reads and writes below one prefix of one bucket. It may delete objects, which in a versioned bucket hides them
 * until the lifecycle removes them, but no version: whoever takes its keys cannot destroy what was saved.
 */
import { joinKey } from "./names.ts";

export interface PolicyDocument {
  Version: "2012-10-17";
  Statement: Statement[];
}

interface Statement {
  Sid: string;
  Effect: "Allow" | "Deny";
  Principal?: "*";
  Action: string | string[];
  Resource: string | string[];
  Condition?: Record<string, Record<string, string | string[]>>;
}

/** For the user or role whose keys a machine holds. */
export function runPolicy(at: { bucket: string; prefix: string; region?: string }): PolicyDocument {
  const bucket = bucketArn(at.bucket, at.region);
  const below = joinKey(at.prefix, "*");
  const objects = `${bucket}/${below}`;
  return {
    Version: "2012-10-17",
    Statement: [
      {
        Sid: "ListCheckpoints",
        Effect: "Allow",
        Action: ["s3:ListBucket", "s3:ListBucketMultipartUploads"],
        Resource: bucket,
        ...(at.prefix && { Condition: { StringLike: { "s3:prefix": [at.prefix, below] } } }),
      },
      {
        Sid: "ReadAndWriteCheckpoints",
        Effect: "Allow",
        Action: [
          "s3:GetObject",
          "s3:PutObject",
          "s3:DeleteObject",
          "s3:AbortMultipartUpload",
          "s3:ListMultipartUploadParts",
        ],
        Resource: objects,
      },
      {
        // Said outright, so that no other policy of the same user or of the bucket can allow it.
        Sid: "KeepVersions",
        Effect: "Deny",
        Action: ["s3:DeleteObjectVersion", "s3:PutBucket*", "s3:PutLifecycleConfiguration", "s3:DeleteBucket*"],
        Resource: [bucket, `${bucket}/*`],
      },
    ],
  };
}

/** For the bucket: nothing over plain HTTP, and only TLS 1.2 or newer. */
export function tlsOnlyPolicy(bucketName: string, region?: string): PolicyDocument {
  const bucket = bucketArn(bucketName, region);
  const always = {
    Effect: "Deny" as const,
    Principal: "*" as const,
    Action: "s3:*",
    Resource: [bucket, `${bucket}/*`],
  } satisfies Partial<Statement>;
  return {
    Version: "2012-10-17",
    Statement: [
      { Sid: "TlsOnly", ...always, Condition: { Bool: { "aws:SecureTransport": "false" } } },
      { Sid: "Tls12OrNewer", ...always, Condition: { NumericLessThan: { "s3:TlsVersion": "1.2" } } },
    ],
  };
}

/** A bucket's ARN in the partition of its region. */
export function bucketArn(bucket: string, region = ""): string {
  const partition = region.startsWith("cn-") ? "aws-cn" : region.startsWith("us-gov-") ? "aws-us-gov" : "aws";
  return `arn:${partition}:s3:::${bucket}`;
}
