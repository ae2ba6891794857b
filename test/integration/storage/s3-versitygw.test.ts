/** The same suite against versitygw 1.8.0, which others wrote: what both agree on is S3 and not our idea of it. */
import { describe, test } from "vitest";
import { startVersitygw } from "../../helpers/s3.ts";
import { storageSuite } from "./suite/index.ts";

const store = await startVersitygw();
if ("skip" in store) {
  describe.skip(`versitygw [skipped: ${store.skip}]`, () => {
    test("does what the emulated S3 does", () => {});
  });
} else
  storageSuite("versitygw", store, [
    "304 to copies",
    "deletes are not atomic",
    "dots in bucket names",
    "keeps aws-chunked",
    "keeps cut bodies",
    "keys are paths",
    "markers are objects",
    "never quiet",
    "no encoding-type",
    "unknown keys are 404",
  ]);
