/** The variables that Vast injects into a machine's first process (vast-api.md 9.1). Sessions do not inherit them. */
import type { MachineSpec } from "./types.ts";

export const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** What the host adds to the spec's own variables; these win, as the market may know better. */
export function injectedEnvironment(
  spec: MachineSpec,
  here: { apiUrl: string; s3Url: string | undefined; home: string; path: string },
): Record<string, string> {
  const ports: Record<string, string> = {};
  // The first forward of a port is the direct one; the proxy's is not told to the machine.
  for (const { container, host } of spec.forwards) ports[`VAST_TCP_PORT_${container}`] ??= String(host);
  return {
    PATH: here.path,
    HOME: here.home,
    LANG: "C.UTF-8",
    CONTAINER_ID: String(spec.contractId),
    VAST_CONTAINERLABEL: spec.hostname,
    PUBLIC_IPADDR: "127.0.0.1",
    GPU_COUNT: String(spec.gpus.count),
    SSH_PUBLIC_KEY: spec.authorizedKeys.join("\n"),
    VAST_URL: here.apiUrl,
    ...(here.s3Url !== undefined && { VASTLANE_EMULATOR_S3: here.s3Url }),
    ...ports,
    ...spec.env,
  };
}
