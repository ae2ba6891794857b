/**
 * What an S3 store must do for us, asserted with the AWS SDK and with requests of our own. Each store runs the same
 * list; where one is known to differ, the difference is asserted, so that its end is noticed as well.
 */
import { afterAll, describe } from "vitest";
import { clientOf, type TestS3 } from "../../../helpers/s3.ts";
import { checksums } from "./checksums.ts";
import { conditions } from "./conditions.ts";
import { listing } from "./listing.ts";
import { multipart } from "./multipart.ts";
import { objects } from "./objects.ts";
import { signatures } from "./signatures.ts";
import type { Difference, Subject } from "./subject.ts";
import { versions } from "./versions.ts";

export function storageSuite(name: string, store: TestS3, differences: Difference[] = []): void {
  const s3 = clientOf(store, { maxAttempts: 2 });
  const subject: Subject = { store, s3, differs: (what) => differences.includes(what) };
  describe(name, () => {
    afterAll(async () => {
      s3.destroy();
      await store.stop();
    });
    objects(subject);
    conditions(subject);
    multipart(subject);
    listing(subject);
    versions(subject);
    signatures(subject);
    checksums(subject);
  });
}
