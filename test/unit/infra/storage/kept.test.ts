import { expect, test } from "vitest";
import { describeKept } from "../../../../infra/storage/kept.ts";

const KEPT = {
  bucket: "b",
  endpoint: "http://127.0.0.1:9000",
  isEmulated: false,
  prefix: "ck/dev/",
  objects: 41,
  isMore: false,
};

test.each([
  [
    "at another endpoint",
    KEPT,
    "bucket b at http://127.0.0.1:9000",
    "(41 objects)",
    " --endpoint-url http://127.0.0.1:9000",
  ],
  ["on AWS", { ...KEPT, endpoint: null }, "bucket b with", "(41 objects)", "--recursive"],
  ["of many objects", { ...KEPT, objects: 5000, isMore: true }, "bucket b", "(5000+ objects)", "--recursive"],
  ["in a store that is away", { ...KEPT, objects: null }, "bucket b", "(not counted: it does not answer now)", "rm"],
])("what is kept %s is named with the command that removes it", (_, kept, bucket, count, command) => {
  const [what, how] = describeKept(kept);
  expect(what).toContain(bucket);
  expect(what).toContain(`this stack's checkpoints below ck/dev/ ${count}`);
  expect(how).toContain("aws s3 rm s3://b/ck/dev/ --recursive");
  expect(how).toContain(command);
});

test("the emulator's store says where its keys are", () => {
  expect(describeKept(KEPT)).toHaveLength(2);
  expect(describeKept({ ...KEPT, isEmulated: true }).at(-1)).toContain("vastlane emulator start --json");
});
