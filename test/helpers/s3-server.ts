/** The emulated store as a process that can be killed: `node s3-server.ts FOLDER` prints where it is and its keys. */
import type { AddressInfo } from "node:net";
import { openEmulatedS3, S3_REGION } from "../../emulator/s3/index.ts";

const s3 = await openEmulatedS3({ folder: process.argv[2] ?? "", log: (line) => console.error(line) });
const server = s3.createServer();
server.listen(0, "127.0.0.1", () => {
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  console.log(JSON.stringify({ endpoint, region: S3_REGION, ...s3.root }));
});
