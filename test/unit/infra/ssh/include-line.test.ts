import fc from "fast-check";
import { expect, test } from "vitest";
import { withInclude, withoutInclude } from "../../../../infra/ssh/include-line.ts";

const LINE = "Include /home/me/.vastlane/ssh.d/*.conf";

test.each([
  ["an empty file", "", `${LINE}\n`],
  ["a file without a final newline", "Host a", `${LINE}\nHost a`],
  ["global settings that would win over ours", "User bob\nHost a\n", `${LINE}\nUser bob\nHost a\n`],
  ["Windows line ends", "Host a\r\n  User b\r\n", `${LINE}\r\nHost a\r\n  User b\r\n`],
  ["a file that has the line already", `# mine\n${LINE}\nHost a\n`, `# mine\n${LINE}\nHost a\n`],
  ["a line that somebody indented", `  ${LINE}\nHost a\n`, `  ${LINE}\nHost a\n`],
  ["a line moved to where it applies to one host only", `Host a\n${LINE}\n`, `${LINE}\nHost a\n`],
  ["a line below a Match", `Match all\n${LINE}\n`, `${LINE}\nMatch all\n`],
])("install into %s", (_, before, after) => {
  expect(withInclude(before, LINE)).toBe(after);
});

const fileText = fc
  .array(
    fc.tuple(
      fc.constantFrom("", "Host a", "  User b", "Match all", "# c", "Include other", "\tPort 22 ", "é\u2028x", "\r"),
      fc.constantFrom("\n", "\r\n"),
    ),
  )
  .chain((lines) =>
    fc.constantFrom("", "no newline at the end").map((end) => lines.map((line) => line.join("")).join("") + end),
  );

test("removing what was installed gives back the same bytes", () => {
  fc.assert(
    fc.property(fileText, (text) => {
      expect(withoutInclude(withInclude(text, LINE), LINE)).toBe(text);
    }),
  );
});

test("installing twice is installing once", () => {
  fc.assert(
    fc.property(fileText, (text) => {
      const once = withInclude(text, LINE);
      expect(withInclude(once, LINE)).toBe(once);
    }),
  );
});
