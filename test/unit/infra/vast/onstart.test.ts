import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { renderOnstart } from "../../../../infra/vast/onstart.ts";

const standard = { heartbeatMinutes: 10, maxHours: 24, workspace: "/workspace" };

test("is the text below: whoever reads a machine's onstart should understand it", () => {
  expect(renderOnstart(standard)).toMatchSnapshot();
});

test("is small, whatever the options", () => {
  expect(Buffer.byteLength(renderOnstart(standard))).toBeLessThan(2048);
  expect(() => renderOnstart({ ...standard, workspace: `/${"w".repeat(3000)}` })).toThrow("internal: onstart has");
});

test.each(["dash", "bash", "busybox"])("has the syntax of %s", (shell) => {
  const args = shell === "busybox" ? ["sh", "-n"] : ["-n"];
  for (const maxHours of [24, null]) {
    try {
      execFileSync(shell, args, { input: renderOnstart({ ...standard, maxHours }), stdio: "pipe" });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error; // that shell is not here
    }
  }
});

test.each([
  [{ heartbeatMinutes: 10 }, ["-lt 600 ]", "sleep 30", "$a -lt 300"]],
  [{ heartbeatMinutes: 2 }, ["-lt 120 ]", "sleep 12"]],
  [{ heartbeatMinutes: 0.1 }, ["-lt 6 ]", "sleep 1\n"]],
  [{ maxHours: 0.5 }, ["l=1800;;"]],
])("counts in seconds: %j", (options, parts) => {
  const text = renderOnstart({ ...standard, ...options });
  for (const part of parts) expect(text).toContain(part);
});

test("has no time limit where there is none", () => {
  expect(renderOnstart({ ...standard, maxHours: null })).toContain(' l=;; esac\n  [ "$l" ] &&');
});

test("holds no secret and no place for one: the key is the machine's own", () => {
  expect(renderOnstart(standard)).toContain("K=$(v CONTAINER_API_KEY)");
});

test("refuses a workspace that a shell would take apart", () => {
  expect(() => renderOnstart({ ...standard, workspace: "/work space" })).toThrow("internal: workspace /work space");
});
