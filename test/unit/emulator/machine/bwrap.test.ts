import { expect, test } from "vitest";
import { sandboxCommand, sandboxOptions } from "../../../../emulator/machine/bwrap.ts";

const options = sandboxOptions({
  disk: "/home/machines/7/disk",
  hostname: "C.7",
  environment: { CONTAINER_API_KEY: "secret", FOO: "a b" },
  base: { shared: ["/usr", "/etc/alternatives"], node: "/project/node" },
  binds: [{ from: "/data/set", to: "/opt/set" }],
});

/** The values after each occurrence of an option. */
function valuesOf(name: string, count: number): string[][] {
  return options.flatMap((word, at) => (word === name ? [options.slice(at + 1, at + 1 + count)] : []));
}

test("gives each machine its own namespaces and host name", () => {
  for (const kind of ["net", "pid", "uts", "ipc"]) expect(options).toContain(`--unshare-${kind}`);
  expect(valuesOf("--hostname", 1)).toEqual([["C.7"]]);
});

test("lets machines outlive the daemon", () => {
  expect(options).not.toContain("--die-with-parent");
});

test("lays the computer's folders read-only over the machine's disk, and its own /usr/local over those", () => {
  expect(valuesOf("--bind", 2)).toEqual([
    ["/home/machines/7/disk", "/"],
    ["/home/machines/7/disk/usr/local", "/usr/local"],
  ]);
  expect(valuesOf("--ro-bind", 2)).toEqual([
    ["/usr", "/usr"],
    ["/etc/alternatives", "/etc/alternatives"],
    ["/project/node", "/usr/local/bin/node"],
    ["/data/set", "/opt/set"],
  ]);
  expect(options.indexOf("/")).toBeLessThan(options.indexOf("/usr"));
  expect(options.indexOf("/usr")).toBeLessThan(options.indexOf("/usr/local"));
});

test("leaves no right with which a machine could leave its sandbox", () => {
  expect(valuesOf("--cap-drop", 1)).toEqual([["ALL"]]);
  const granted = valuesOf("--cap-add", 1).flat();
  for (const right of ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "SYS_MODULE", "MKNOD", "DAC_READ_SEARCH"]) {
    expect(granted).not.toContain(`CAP_${right}`);
  }
});

test("hands variables over through a descriptor, so that keys do not show in the process list", () => {
  expect(valuesOf("--setenv", 2)).toEqual([
    ["CONTAINER_API_KEY", "secret"],
    ["FOO", "a b"],
  ]);
  expect(sandboxCommand({ args: 3, info: 4, block: 5 }, ["/bin/bash", "/.launch"])).toEqual([
    "--args", "3", "--info-fd", "4", "--block-fd", "5", "--", "/bin/bash", "/.launch",
  ]); // biome-ignore format: one command line
});
