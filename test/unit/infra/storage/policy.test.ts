import { expect, test } from "vitest";
import { bucketArn, runPolicy, tlsOnlyPolicy } from "../../../../infra/storage/policy.ts";

const AT = { bucket: "my-bucket", prefix: "ck/dev" };

test("a run reads and writes below its prefix and touches no version and no setting", () => {
  expect(runPolicy(AT)).toMatchSnapshot();
});

test("a stack with the whole bucket may list the whole bucket", () => {
  const [list, objects] = runPolicy({ bucket: "my-bucket", prefix: "" }).Statement;
  expect(list).not.toHaveProperty("Condition");
  expect(objects?.Resource).toBe("arn:aws:s3:::my-bucket/*");
});

test.each([
  ["eu-central-1", "arn:aws:s3:::b"],
  ["cn-north-1", "arn:aws-cn:s3:::b"],
  ["us-gov-west-1", "arn:aws-us-gov:s3:::b"],
])("names of %s are of its partition", (region, arn) => {
  expect(bucketArn("b", region)).toBe(arn);
  expect(runPolicy({ ...AT, bucket: "b", region }).Statement[0]?.Resource).toBe(arn);
  expect(tlsOnlyPolicy("b", region).Statement[0]?.Resource).toEqual([arn, `${arn}/*`]);
});
