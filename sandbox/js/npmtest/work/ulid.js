import { decodeTime, monotonicFactory, ulid } from "ulid";

export async function work() {
  const next = monotonicFactory(), ids = [next(1700000000000), next(1700000000000), next(1700000000000)];
  return { length: ulid().length, time: decodeTime(ulid(1469918176385)), ordered: ids[0] < ids[1] && ids[1] < ids[2], prefix: ids[0].slice(0, 10), different: ulid() !== ulid() };
}
