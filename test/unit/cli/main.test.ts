/** The CLI's entry, in process: what it does with names, flags and errors. */
import { afterEach, describe, expect, test, vi } from "vitest";
import { main } from "../../../cli/main.ts";
import { testIo } from "../../helpers/io.ts";

/** What the next command throws. */
let thrown: unknown;
vi.mock("../../../cli/commands/status.ts", () => ({
  command: {
    name: "status",
    summary: "list the machines",
    usage: "vastlane status [--json]",
    run: async (args: string[], io: { stdout(text: string): void; cwd: string }) => {
      if (thrown) throw thrown;
      io.stdout(`status ${args.join(" ")} in ${io.cwd}\n`);
      return 0;
    },
  },
}));
const { UserError, Bug } = await import("../../../common/errors.ts");

afterEach(() => {
  thrown = undefined;
  vi.unstubAllEnvs();
});

async function run(argv: string[], io = testIo({ cwd: "/here" })) {
  const code = await main(argv, io);
  return { code, out: io.out, err: io.err };
}

test("a command gets its arguments", async () => {
  expect(await run(["status", "--all", "x"])).toEqual({ code: 0, out: "status --all x in /here\n", err: "" });
});

describe("help", () => {
  test.each([[[]], [["help"]], [["--help"]], [["-h"]]])(
    "%j lists every command in a line, but not those of OpenSSH",
    async (argv) => {
      const { code, out, err } = await run(argv);
      expect({ code, err }).toEqual({ code: 0, err: "" });
      for (const name of [
        "demo",
        "up",
        "preview",
        "destroy",
        "refresh",
        "status",
        "ssh",
        "logs",
        "offers",
        "doctor",
        "env",
        "emulator",
        "ssh-config",
      ])
        expect(out).toMatch(new RegExp(`^  ${name} +\\S`, "m"));
      expect(out).not.toMatch(/ssh-proxy|known-hosts/);
      expect(out.split("\n")[0]).toBe("vastlane: cheap, interruptible GPUs on Vast.ai as code");
    },
  );

  test.each([[["help", "status"]], [["status", "--help"]], [["status", "-h"]]])("%j explains one", async (argv) => {
    expect((await run(argv)).out).toBe("list the machines\n\nvastlane status [--json]\n");
  });

  test("what stands behind -- is not for us", async () => {
    expect((await run(["status", "--", "ls", "--help"])).out).toBe("status -- ls --help in /here\n");
  });
});

describe("a word that is no command", () => {
  test("is wrong usage, with the nearest one", async () => {
    expect(await run(["stauts"])).toEqual({
      code: 2,
      out: "",
      err: "VL_USAGE: there is no command stauts\n  why: did you mean status?\n  do:  `vastlane help` lists the commands\n",
    });
  });

  test("also after help, and when nothing is near", async () => {
    expect((await run(["help", "zzzzzz"])).err).toBe(
      "VL_USAGE: there is no command zzzzzz\n  do:  `vastlane help` lists the commands\n",
    );
  });

  test.each(["toString", "constructor", "__proto__"])("%s is one", async (name) => {
    expect((await run([name])).code).toBe(2);
  });
});

describe("what a command throws", () => {
  test.each([
    ["VL_NO_OFFER", 1],
    ["VL_USAGE", 2],
    ["VL_CANCELLED", 130],
  ] as const)("%s exits %i with three lines and no stack", async (code, exit) => {
    thrown = new UserError(code, { what: "it", why: "because", hint: "so" });
    expect(await run(["status"])).toEqual({ code: exit, out: "", err: `${code}: it\n  why: because\n  do:  so\n` });
  });

  test("with --json it comes as one object on stdout as well", async () => {
    thrown = new UserError("VL_NO_OFFER", { what: "it" });
    const { code, out, err } = await run(["status", "--json"]);
    expect(code).toBe(1);
    expect(JSON.parse(out)).toEqual({ error: { code: "VL_NO_OFFER", what: "it", why: null, hint: null } });
    expect(err).toBe("VL_NO_OFFER: it\n");
  });

  test("--json behind -- is the remote command's", async () => {
    thrown = new UserError("VL_NO_OFFER", { what: "it" });
    expect((await run(["status", "--", "ls", "--json"])).out).toBe("");
  });

  test("a fault of ours shows its stack and asks for a report", async () => {
    thrown = new Bug("no such state");
    const { code, err } = await run(["status"]);
    expect(code).toBe(1);
    expect(err).toMatch(/^Bug: internal: no such state\n {4}at /);
    expect(err).toContain("This is a fault of vastlane itself: please report it with the lines above.\n");
  });

  test("after Ctrl-C, whatever falls over is no fault", async () => {
    const abort = new AbortController();
    abort.abort();
    thrown = new Error("socket closed");
    expect(await run(["status"], testIo({ signal: abort.signal }))).toEqual({ code: 130, out: "", err: "" });
  });
});

describe("flags before the command", () => {
  test("-C works as if started there, --state-dir says where our files are", async () => {
    vi.stubEnv("VASTLANE_STATE_DIR", "");
    expect((await run(["-C", "/there", "--state-dir", "/state", "status"])).out).toBe("status  in /there\n");
    expect(process.env.VASTLANE_STATE_DIR).toBe("/state");
  });

  test("without their value they are no command", async () => {
    expect((await run(["-C"])).code).toBe(2);
  });
});
