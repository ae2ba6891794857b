/**
 * The fault `disk-full` of an isolated machine: a full tmpfs as the upper layer of an overlay over its folders, so
 * that everything can be read and deleted, and every write meets a real ENOSPC. Lasts until it is lifted, or the
 * machine stops. Limits: files that were open before, and processes whose working directory is one of the folders,
 * still reach the old layer; new processes and absolute paths meet the full one.
 */
import { runTool } from "./tools.ts";

const FOLDERS = "workspace root opt";

/** Runs inside the machine's mount namespace: nothing is ever mounted on the computer itself. */
const FILL = `
[ ! -d /mnt/.full ] || exit 0
mkdir /mnt/.full && mount -t tmpfs -o size=256k,mode=755 tmpfs /mnt/.full || exit 1
for folder in ${FOLDERS}; do
  mkdir -p /mnt/.full/$folder/upper /mnt/.full/$folder/work
  chmod --reference=/$folder /mnt/.full/$folder/upper
  mount -t overlay -o lowerdir=/$folder,upperdir=/mnt/.full/$folder/upper,workdir=/mnt/.full/$folder/work overlay /$folder || exit 1
done
cat /dev/zero > /mnt/.full/filler 2>/dev/null
true
`;

/** What could be changed meanwhile (deletions, moves of small files) is lost, as after a crash of such a disk. */
const FREE = `
[ -d /mnt/.full ] || exit 0
for folder in ${FOLDERS}; do umount -l /$folder; done
umount -l /mnt/.full && rmdir /mnt/.full
`;

export async function fillDisk(nsenter: string, pid: number): Promise<void> {
  await inMounts(nsenter, pid, FILL);
}

export async function freeDisk(nsenter: string, pid: number): Promise<void> {
  await inMounts(nsenter, pid, FREE);
}

async function inMounts(nsenter: string, pid: number, script: string): Promise<void> {
  // umount reads /proc/self, which the machine's /proc has only for processes of its own pid namespace.
  const namespaces = [`--mount=/proc/${pid}/ns/mnt`, `--pid=/proc/${pid}/ns/pid`];
  const { status, output } = await runTool(nsenter, [...namespaces, "/bin/sh", "-c", script]);
  if (status !== 0) throw new Error(`the fault disk-full could not be changed: ${output.trim()}`);
}
