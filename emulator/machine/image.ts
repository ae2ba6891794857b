/**
 * A machine's disk: what Vast's own start-up leaves in a container (keys, onstart, labels), and in isolated mode a
 * small root file system around the computer's read-only /usr. The disk is the machine's `/`: whatever it
 * writes anywhere stays with the contract. Nothing of the computer's own /etc with secrets in it is shown.
 */
import {
  chmodSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  symlinkSync,
} from "node:fs";
import { join } from "node:path";
import { DEFAULT_PATH } from "./environment.ts";
import { placeFile, placeFolder } from "./folder.ts";
import { gpuSettings } from "./gpu.ts";
import { BANNER } from "./sshd-config.ts";
import type { MachineSpec } from "./types.ts";

const IMAGE = join(import.meta.dirname, "image");

export function imageFile(name: string): string {
  return readFileSync(join(IMAGE, name), "utf8");
}

export const HOST_KEY = "etc/ssh/ssh_host_ed25519_key";
export const AUTHORIZED_KEYS = "root/.ssh/authorized_keys";
export const SSHD_CONFIG = "etc/ssh/sshd_config";
export const BANNER_FILE = "etc/ssh/banner";
const LAST_ONSTART = "var/lib/vast-onstart";

/** What both modes need at every start: login keys, onstart and Vast's marker files. */
export function prepareVastFiles(disk: string, spec: MachineSpec): void {
  placeFolder(disk, "root", 0o700);
  placeFolder(disk, "workspace");
  for (const folder of ["etc/ssh", "var/log", "var/lib", "opt"]) placeFolder(disk, folder);
  placeAuthorizedKeys(disk, spec.authorizedKeys);
  placeOnstart(disk, spec.onstart);
  placeFile(disk, BANNER_FILE, BANNER);
  placeFile(disk, "root/.vast_containerlabel", `${spec.hostname}\n`);
  const key = spec.env.CONTAINER_API_KEY;
  if (key) placeFile(disk, "root/.vast_api_key", key, 0o600);
}

/** Safe while the machine runs: sshd reads the file at each login. */
export function placeAuthorizedKeys(disk: string, keys: string[]): void {
  placeFolder(disk, "root/.ssh", 0o700);
  placeFile(disk, AUTHORIZED_KEYS, keys.map((key) => `${key.trim()}\n`).join(""), 0o600);
}

/** The stand-in for nvidia-smi and its facts, in a folder of the disk or beside it. */
export function placeNvidiaSmi(root: string, folder: string, spec: MachineSpec): void {
  placeFile(root, `${folder}/nvidia-smi`, imageFile("nvidia-smi.sh"), 0o755);
  placeFile(root, `${folder}/.nvidia-smi.conf`, gpuSettings(spec));
}

/** A script edited on the machine persists, as on Vast; the contract's text replaces it only when that changes. */
function placeOnstart(disk: string, onstart: string | null): void {
  const text = onstart ?? "";
  const last = join(disk, LAST_ONSTART);
  if (lstatSync(last, { throwIfNoEntry: false })?.isFile() && readFileSync(last, "utf8") === text) return;
  placeFile(disk, "root/onstart.sh", text, 0o755);
  placeFile(disk, LAST_ONSTART, text, 0o600);
}

/** Facts of this computer that the image is built on; gathered once. */
export interface Base {
  /** Top-level symbolic links into /usr, such as bin -> usr/bin. */
  links: { name: string; target: string }[];
  /** Read-only folders and files of the computer that every machine sees at the same path. */
  shared: string[];
  /** Node 24, shown as /usr/local/bin/node. */
  node: string;
  hasPam: boolean;
}

/** Of /etc only what programs in /usr need and what holds no secret. */
// biome-ignore format: names, not structure
const SHARED_ETC = [
  "alternatives", "ca-certificates", "ca-certificates.conf", "crypto-policies", "debian_version", "fonts", "inputrc",
  "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "login.defs", "magic", "mime.types", "perl", "pki/ca-trust",
  "pki/tls/certs", "protocols", "redhat-release", "services", "ssl/certs", "ssl/openssl.cnf", "terminfo",
];

export function readBase(node: string): Base {
  const top = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"].filter((name) => existsSync(`/${name}`));
  const isLink = (name: string) => lstatSync(`/${name}`).isSymbolicLink();
  const python = readdirSync("/etc").filter((name) => /^python\d/.test(name));
  const etc = [...SHARED_ETC, ...python].map((name) => `/etc/${name}`).filter((path) => existsSync(path));
  return {
    links: top.filter(isLink).map((name) => ({ name, target: readlinkSync(`/${name}`) })),
    // /sys/devices/system tells number and kind of CPUs, which maths libraries ask for.
    shared: ["/usr", ...top.filter((name) => !isLink(name)).map((name) => `/${name}`), ...etc, "/sys/devices/system"],
    node: realpathSync(node),
    hasPam: findPamModule("pam_env.so"),
  };
}

// biome-ignore format: names, not structure
const ROOT_FOLDERS = [
  "home", "media", "mnt", "srv", "run/sshd", "etc/profile.d",
  "usr/local/bin", "usr/local/lib", "usr/local/sbin", "usr/local/share",
];

/** The root file system of an isolated machine; cheap to repeat at each start, and keeps what the machine changed. */
export function prepareRoot(disk: string, spec: MachineSpec, base: Base): void {
  for (const { name, target } of base.links) placeLink(disk, name, target);
  for (const folder of ROOT_FOLDERS) placeFolder(disk, folder);
  for (const folder of ["tmp", "var/tmp"]) placeFolder(disk, folder, 0o1777);
  placeLink(disk, "var/run", "../run");
  placeFile(disk, ".launch", imageFile("launch.sh"), 0o755);
  placeFile(disk, "etc/profile.d/vast-tmux.sh", imageFile("auto-tmux.sh"));
  placeFile(disk, "etc/hostname", `${spec.hostname}\n`);
  placeNvidiaSmi(disk, "usr/local/bin", spec);
  if (existsSync(join(disk, "etc/passwd"))) return;
  placeLink(disk, "etc/os-release", "../usr/lib/os-release");
  placeLink(disk, "etc/mtab", "../proc/self/mounts");
  for (const [path, text, mode] of firstFiles(spec, base)) placeFile(disk, path, text, mode);
  chmodSync(join(disk, "root"), 0o700);
}

/** Files that a machine may change and keep: written once. */
function firstFiles(spec: MachineSpec, base: Base): [path: string, text: string, mode?: number][] {
  const profile = "[ -f ~/.bashrc ] && . ~/.bashrc\n";
  const bashrc = "case $- in *i*) ;; *) return ;; esac\nPS1='\\u@\\h:\\w\\$ '\nalias ls='ls --color=auto'\n";
  const pam = ["auth required pam_permit.so", "account required pam_permit.so", "password required pam_deny.so"];
  return [
    ["etc/group", "root:x:0:\ntty:x:5:\nshadow:x:42:\nutmp:x:43:\nusers:x:100:\nnogroup:x:65534:\n"],
    [
      "etc/shadow",
      ["root", "vastai_kaalia", "nobody", "sshd"].map((user) => `${user}:*:19000:0:99999:7:::\n`).join(""),
      0o640,
    ],
    ["etc/hosts", `127.0.0.1 localhost\n127.0.1.1 ${spec.hostname}\n`],
    // No resolver can be reached: an empty list makes look-ups fail at once.
    ["etc/resolv.conf", ""],
    ["etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"],
    ["etc/environment", ""],
    ["etc/shells", "/bin/sh\n/bin/bash\n"],
    ["etc/rsyncd.conf", rsyncModules(spec.contractId)],
    [
      "etc/profile",
      `export PATH="${DEFAULT_PATH}"\nfor i in /etc/profile.d/*.sh; do [ -r "$i" ] && . "$i"; done\nunset i\n`,
    ],
    ["etc/pam.d/other", `${pam.join("\n")}\nsession required pam_permit.so\n`],
    [
      "etc/pam.d/sshd",
      `${pam.join("\n")}\n${base.hasPam ? "session required pam_env.so readenv=1\n" : ""}session required pam_permit.so\n`,
    ],
    ["etc/security/pam_env.conf", ""],
    ["root/.profile", profile],
    ["root/.bashrc", bashrc],
    ["var/log/lastlog", ""],
    // Last: its presence says that the list above is complete.
    [
      "etc/passwd",
      // Second, as the host's own login that `vastai copy` uses for its rsync.
      "root:x:0:0:root:/root:/bin/bash\nvastai_kaalia:x:0:0::/root:/bin/bash\nsshd:x:101:65534::/run/sshd:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    ],
  ];
}

/** What `vastai copy` talks to over SSH: rsync's own daemon, with the contract's id, as typed, as the module. */
function rsyncModules(contractId: number): string {
  const module = "path = /\nread only = false\nuse chroot = false\nuid = 0\ngid = 0\n";
  return [`C.${contractId}`, contractId].map((name) => `[${name}]\n${module}`).join("");
}

function placeLink(disk: string, name: string, target: string): void {
  const path = join(disk, name);
  if (lstatSync(path, { throwIfNoEntry: false })) return;
  symlinkSync(target, path);
}

function findPamModule(name: string): boolean {
  const libraries = ["/lib", "/usr/lib", "/usr/lib64", "/lib64"];
  const folders = libraries.flatMap((library) => [
    library,
    ...(existsSync(library) ? readdirSync(library).filter((entry) => entry.includes("-linux-")) : []).map((entry) =>
      join(library, entry),
    ),
  ]);
  return folders.some((folder) => existsSync(join(folder, "security", name)));
}
