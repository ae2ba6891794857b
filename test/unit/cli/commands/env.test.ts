import { execFileSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { command, shellLines } from "../../../../cli/commands/env.ts";
import { testIo } from "../../../helpers/io.ts";

describe("vastlane env", () => {
  test("prints lines that a shell reads back exactly, quotes, blanks and emptiness included", () => {
    const set = { A: "", B: "it's $HOME", C: "/plain/path:/x", D: "~/x", E: "a\nb" };
    const text = shellLines({ set, unset: ["GONE"] });
    expect(text).toBe(`export A=''
export B='it'\\''s $HOME'
export C=/plain/path:/x
export D='~/x'
export E='a
b'
unset GONE
`);
    const script = `GONE=1; eval "$1"; for n in A B C D E; do eval "printf '%s|' \\"\\$$n\\""; done; printf %s "\${GONE-none}"`;
    const shown = execFileSync("sh", ["-c", script, "sh", text], { encoding: "utf8" });
    expect(shown).toBe(`${Object.values(set).join("|")}|none`);
  });

  test("names the stacks that there are when asked for another one", async () => {
    await expect(command.run(["locl"], testIo())).rejects.toThrow(
      `VL_NOT_FOUND: There is no stack locl.
  why: No Pulumi.locl.yaml; there are: dev, local, prod.
  do:  vastlane env local`,
    );
  });

  test.each([[["--all"]], [["local", "dev"]]])("refuses %j", async (args) => {
    await expect(command.run(args, testIo())).rejects.toThrow(
      `VL_USAGE: vastlane env does not understand: ${args.join(" ")}\n  do:  vastlane env --help`,
    );
  });
});
