import fc from "fast-check";
import { expect, test } from "vitest";
import { parseManifest, renderManifest } from "../../../common/sent-files.ts";

test("a record is read back as it was written, blanks in names included", () => {
  const file = fc.record({
    path: fc.stringMatching(/^[a-zé][a-z é/.]{0,20}[a-z]$/),
    sha256: fc.stringMatching(/^[0-9a-f]{64}$/),
    size: fc.nat(),
    mtime: fc.integer(),
    isLink: fc.boolean(),
    mode: fc.constantFrom(0o644, 0o755),
  });
  fc.assert(
    fc.property(fc.array(file), (files) => {
      const expected = files.map((each) => (each.isLink ? { ...each, mode: 0o644 } : each));
      expect(parseManifest(renderManifest(files))).toEqual(expected);
    }),
  );
});

test("cut and foreign lines are passed over", () => {
  expect(parseManifest("garbage\nabc 1 644 2\n\n")).toEqual([]);
});
