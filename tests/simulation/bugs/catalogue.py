"""The bugs that are planted."""

from __future__ import annotations

from tests.simulation.bugs.planting import Bug

__all__ = ["BUGS"]


def _of(scenario: str, module: str, *bugs: tuple[str, str, str, str]) -> tuple[Bug, ...]:
    return tuple(
        Bug(name, scenario, f"quintet.{module}:{place}", line, instead)
        for name, place, line, instead in bugs
    )


BUGS: tuple[Bug, ...] = (
    *_of(
        "jobs",
        "jobs.job",
        (
            "a fence is not checked",
            "_require",
            "or (held.owner, held.fence) != (lease.owner, lease.fence)",
            "",
        ),
        ("a lease never expires", "leased", "and job.lease.until > now", "and True"),
        (
            "a run that broke off is not counted",
            "leased",
            'job.broken + (job.state == "LEASED")',
            "job.broken",
        ),
        (
            "a job that is done can be cancelled",
            "cancelled",
            "if job.settled:\n        raise Settled(job)",
            "",
        ),
        (
            "a settled job is leased again",
            "leased",
            "if job.settled:\n        raise Settled(job)",
            "",
        ),
    ),
    *_of(
        "jobs",
        "jobs.messages",
        (
            "an event leaves the outbox before it is sent",
            "OutboxPublisher.publish",
            '(self._work if event.kind == "accepted" else self._notify).send(event)\n'
            "    self._outbox.sent(event)",
            "self._outbox.sent(event)\n"
            '    (self._work if event.kind == "accepted" else self._notify).send(event)',
        ),
        (
            "events that were not sent leave the outbox",
            "OutboxPublisher.publish_many",
            "sent += queue.send_many(some)",
            "sent += some; queue.send_many(some)",
        ),
    ),
    *_of(
        "jobs",
        "jobs.sweep",
        (
            "the sweep publishes nothing",
            "sweep",
            "publisher.publish_pending(now - GRACE_SECONDS)",
            "(0, 0)",
        ),
        (
            "the sweep fails jobs of which no message is dead",
            "DeadLetterReconciler.fail_dead_jobs",
            "self.letters.look(MAX_DEAD_LETTERS)",
            "[__import__('json').dumps({'job': name, 'event': 'accepted'})"
            " for name in self.get.args[1].__self__.jobs]",
        ),
    ),
    *_of(
        "jobs",
        "jobs.transitions",
        (
            "a released job's message is acknowledged",
            "JobTransitions.release",
            "leased.result(TRY_AGAIN, False, reason)",
            "leased.result(TRY_AGAIN, True, reason)",
        ),
        (
            "the message of a job that another holds is acknowledged",
            "_elsewhere",
            "LEASED_ELSEWHERE, False,",
            "LEASED_ELSEWHERE, True,",
        ),
        (
            "a poisoned job leaves no dead letter",
            "JobTransitions._give_up",
            "self.letters.put(leased.delivery.body)",
            "pass",
        ),
        (
            "a job that its group did not settle is left",
            "JobTransitions.settle",
            "if one.leased.job.id not in events]",
            "if not events]",
        ),
        (
            "all results have one key",
            "JobTransitions._store",
            "self.blobs.put(job.result_key,",
            'self.blobs.put("results/one",',
        ),
    ),
    *_of(
        "jobs",
        "jobs.worker",
        (
            "the answers of a group are given to the wrong jobs",
            "Worker._answer",
            "self._score(group), strict=True",
            "[*self._score(group)][::-1], strict=True",
        ),
    ),
    *_of(
        "jobs",
        "jobs.submit",
        (
            "a key is not stored with its job",
            "Submitter.submit",
            "self.store.accept(job, key)",
            "self.store.accept(job)",
        ),
    ),
    *_of(
        "jobs",
        "jobs.captures",
        (
            "a job that was tried before is not captured",
            "JobCaptures.scored",
            "if capture is None:",
            "if capture is None or group[0].job.attempts > 1:",
        ),
    ),
    *_of(
        "jobs",
        "webhooks.notifier",
        (
            "a callback is recorded before it is sent",
            "Notifier._deliver",
            "try:\n        attempt = send(now)",
            "self._deliveries.put(\n"
            "        notification.subject, channel, replace(delivery, state='delivered'))\n"
            "    try:\n        attempt = send(now)",
        ),
    ),
    *_of(
        "jobs",
        "webhooks.delivery",
        ("a callback is given up after one attempt", "after", "if now >= end:", "if True:"),
    ),
    *_of(
        "stream",
        "streaming.scorer",
        (
            "the checkpoint moves before ids are stored",
            "Scorer._settle",
            "repeats.store(self.ids)\n"
            "    self.checkpoints.advance(shard_batch.shard, commit_log.checkpoint_after(), "
            "checkpoint)",
            "self.checkpoints.advance(shard_batch.shard, commit_log.checkpoint_after(), "
            "checkpoint)\n    repeats.store(self.ids)",
        ),
        (
            "the state of a window is lost with a failed call",
            "Scorer.take",
            "tumbling.state if isinstance(tumbling.state, dict) else {}",
            "{}",
        ),
        (
            "a failed call is a success",
            "Scorer.take",
            "outcome.failed, outcome.error = shard_batch.sequences[0], error",
            "outcome.error = error",
        ),
        (
            "a failed call repeats its last record only",
            "Scorer.take",
            "shard_batch.sequences[0], error",
            "shard_batch.sequences[-1], error",
        ),
        (
            "repeats are counted in windows",
            "Scorer._take",
            "model_rows.counted &= ~repeats.of(model_rows)",
            "pass",
        ),
        (
            "refused rows are not captured",
            "Scorer._capture",
            "rejected=refused,",
            "rejected=refused & False,",
        ),
    ),
    *_of(
        "stream",
        "streaming.commit_log",
        (
            "what lies beyond the checkpoint is forgotten",
            "CommitLog.checkpoint_after",
            "self.ahead)",
            "{})",
        ),
        (
            "an object that is there already is taken for its own",
            "CommitLog.settle",
            "found = self.sink.put(key, ours)",
            "self.sink.put(key, ours); found = ours",
        ),
        (
            "objects are named by the first record of a batch",
            "ObjectChain.key",
            "shard_batch.sequences[record]",
            "shard_batch.sequences[0]",
        ),
        (
            "an object covers one record too many",
            "CommitLog.settle",
            "self.sink.put(key, ours)\n        end = bisect_right(sequences, found.last)",
            "self.sink.put(key, ours)\n"
            "        end = bisect_right(sequences, found.last) + (found != ours)",
        ),
    ),
    *_of(
        "stream",
        "streaming.windows",
        (
            "the last call of a window closes nothing",
            "advance",
            "if tumbling.final or tumbling.early:",
            "if tumbling.early:",
        ),
        ("late rows are counted in windows", "_gathered", "used = used & ~late", "pass"),
        (
            "the state that came is not joined",
            "advance",
            "window_state.joined(before[name], fresh[name])",
            "fresh[name]",
        ),
    ),
    *_of(
        "stream",
        "streaming.record_ids",
        (
            "a row is a repeat of itself",
            "repeats",
            "(scored.places[here] != rows.places)",
            "True",
        ),
        (
            "repeats within a batch are not seen",
            "RepeatedRows.within",
            "return np.array(again, dtype=np.int64)",
            "return np.array([], dtype=np.int64)",
        ),
        (
            "repeats of earlier batches are not seen",
            "RepeatedRows.read",
            "if found._rows and done:",
            "if False:",
        ),
    ),
    *_of(
        "stream",
        "streaming.alerts",
        (
            "an alert is marked before it is sent",
            "AlertNotifier._send",
            "for channel in self._channels:\n        channel.send(alert)\n"
            "    self._state.sent(alert)",
            "self._state.sent(alert)\n"
            "    for channel in self._channels:\n        channel.send(alert)",
        ),
        (
            "an alert that was not sent is left",
            "AlertNotifier._met",
            "self._send(last.alert)",
            "pass",
        ),
    ),
    *_of(
        "stream",
        "streaming.latest",
        (
            "the first prediction of a batch is the latest",
            "latest",
            'kind="stable").tolist()',
            'kind="stable").tolist()[::-1]',
        ),
    ),
    *_of(
        "batch",
        "batch.tables",
        (
            "an older run takes the pointer",
            "_moves",
            'return by != RUN or _moment(manifest["started"]) > _moment(stands["newest"])',
            "return True",
        ),
    ),
    *_of(
        "batch",
        "batch.reports",
        (
            "a run that failed has a manifest",
            "report_run",
            'if isinstance(plan, Plan) and report["status"] == "succeeded":',
            "if isinstance(plan, Plan):",
        ),
        (
            "the pointer's manifest is written before its report",
            "report_run",
            "before = {key: cells.read(key) for key in (folder.report, folder.page)}",
            "before = {}",
        ),
    ),
    *_of(
        "batch",
        "batch.planning",
        (
            "a plan is stored before its units",
            "plan_run",
            "for name, body in documents.items():",
            "_stored(folder, cells, held, plan)\n    for name, body in documents.items():",
        ),
    ),
    *_of(
        "batch",
        "batch.executions",
        ("a redrive scores what is done", "plan_redrive", "if not over]", "if over]"),
        (
            "a second redrive has the name of the first",
            "redrive",
            "int(number) + 1 if dash else 1",
            "1",
        ),
    ),
    *_of(
        "batch",
        "batch.units",
        (
            "the first refused row of a part is lost",
            "_Found.add",
            "for row, reasons in rejected:",
            "for row, reasons in rejected[1:]:",
        ),
        ("a unit is not captured", "score_unit", "captured.put()", "pass"),
        (
            "a unit is done before its candidates are written",
            "score_unit",
            "sets.put()",
            "store.put(key, dump({**found.summary(), 'unit': unit.unit, 'files': [], "
            "'candidates': sets.document()})); sets.put()",
        ),
        (
            "the result of a unit is stored before its files",
            "_Files._put",
            "self._store.put(key, body)",
            "self._store.put(self._plan.folder.result(self._unit), dump({'status': 'done', "
            "'unit': self._unit, 'scored': rows, 'quarantined': 0})); self._store.put(key, body)",
        ),
    ),
    *_of(
        "batch",
        "batch.unit_candidates",
        (
            "a user gets the items of the row before",
            "UnitCandidates.add",
            "packed(ids[row, :size],",
            "packed(ids[row - 1, :size],",
        ),
    ),
    *_of(
        "batch",
        "batch.candidates",
        (
            "the candidates of an older run are shown",
            "show_candidates",
            "return show_run(folder, store=store, cells=cells, clock=clock, by=by)",
            "return show_run(folder, store=store, cells=cells, clock=clock, by='')",
        ),
    ),
    *_of(
        "batch",
        "recommend.reads",
        (
            "the run that was shown first is shown for ever",
            "ShownRuns.get",
            "if now < until:",
            "if shown is not None:",
        ),
    ),
    *_of(
        "batch",
        "recommend.answers",
        (
            "an impression has its items in another order than was shown",
            "Recommendation.logged",
            '"items": self.items,',
            '"items": sorted(self.items),',
        ),
    ),
    *_of(
        "batch",
        "api.gateway",
        (
            "an impression has another id than its answer",
            "respond",
            "context.job or context.event or new_event()",
            "context.job or new_event()",
        ),
    ),
    *_of(
        "captures",
        "captures.erasure",
        (
            "an erasure overwrites what another wrote",
            "_rewrite",
            "stored.tag):",
            "(lambda found: found and found.tag)(objects.get(place.key))):",
        ),
    ),
    *_of(
        "captures",
        "captures.compaction",
        (
            "an hour's object is read after its new rows",
            "merge",
            "_merge(objects, key, held, tables, merged)",
            "_merge(objects, *_last_part(objects, hour, merged), tables, merged)",
        ),
        (
            "a compaction deletes what it did not read",
            "merge",
            "objects.delete(taken)",
            "objects.delete([p.key for p in places(objects, RAW) if p.hour == hour])",
        ),
        (
            "a compaction that lost the race deletes what is new",
            "merge",
            "if merged.complete:\n            objects.delete(taken)",
            "if True:\n            objects.delete(taken)",
        ),
        (
            "a compaction overwrites what another wrote",
            "_merge",
            "None if held is None else held.tag",
            "(lambda found: None if found is None else found.tag)(objects.get(key))",
        ),
        ("rows that come twice stay twice", "_merge", "unique(together)", "together"),
        (
            "a delivery that was given up is deleted before it is written",
            "redeliver",
            "deliver(_payload(stored.body), sink, feed)",
            "objects.delete([key]); deliver(_payload(stored.body), sink, feed)",
        ),
        (
            "the impression of an event replaces its rows",
            "unique",
            "(numbers[1:] != numbers[:-1])",
            "False",
        ),
        (
            "new rows go before their hour is written",
            "_merge",
            "if objects.swap(key,",
            "objects.delete(objects.keys(RAW))\n    if objects.swap(key,",
        ),
    ),
    *_of(
        "captures",
        "captures.places",
        (
            "new rows have the key of others between the same events",
            "raw_key",
            "-{digest}.parquet",
            ".parquet",
        ),
    ),
    *_of(
        "captures",
        "labels.merging",
        (
            "labels are deleted before they are merged",
            "merge_days",
            "objects.swap(object_key(folder, body, MERGED), body, None)\n"
            "            objects.delete(some)",
            "objects.delete(some)\n"
            "            objects.swap(object_key(folder, body, MERGED), body, None)",
        ),
        (
            "objects that were not read are deleted with the others",
            "merge_days",
            "objects.delete(some)",
            "objects.delete([k for k in objects.keys(prefix) if not k.endswith(MERGED)])",
        ),
    ),
    *_of(
        "captures",
        "feedback.table",
        (
            "feedback that is sent again counts again",
            "once",
            "feedback.some(np.sort(order[first]))",
            "feedback",
        ),
    ),
    *_of(
        "rollouts",
        "serving.routing",
        (
            "a sticky hash without its salt",
            "bucket",
            'f"{model}\\0{rollout}\\0{entity}"',
            'f"{model}\\0{entity}"',
        ),
    ),
    *_of(
        "rollouts",
        "rollouts.evidence",
        (
            "evidence that comes again counts again",
            "once",
            "new[1:] |= ordered[1:] != ordered[:-1]",
            "new[1:] = True",
        ),
    ),
    *_of(
        "rollouts",
        "rollouts.power",
        (
            "an alpha is spent by each gate anew",
            "log_threshold",
            "max(on, 1) / ALPHA",
            "1 / ALPHA",
        ),
    ),
    *_of(
        "rollouts",
        "rollouts.judge",
        (
            "a change that was refused is told",
            "Judge._change",
            "if self.store.write(replace(change, notice=has_notice(change))):",
            "self.store.write(replace(change, notice=has_notice(change)))\n        if True:",
        ),
        (
            "a notice is marked as sent before it is",
            "Judge._send",
            "if self.notify(rollout, change):",
            "self.store.sent(change.model, change.revision)\n    if self.notify(rollout, change):",
        ),
        (
            "a notice that was not sent is forgotten",
            "Judge._change",
            "if stored.unsent:",
            "if False:",
        ),
        (
            "a stop rolls back what began after it",
            "Judge.stop",
            "found.started <= stop.at",
            "True",
        ),
    ),
    *_of(
        "rollouts",
        "rollouts.transitions",
        (
            "a rollback leaves the candidate live",
            "roll_back",
            '{"live": rollout.live}',
            '{"live": stored.route.live}',
        ),
    ),
    *_of(
        "rollouts",
        "rollouts.decisions",
        (
            "a step goes on at once",
            "decide",
            "if lasted < rule.minutes",
            "if lasted < 0",
        ),
        (
            "a bad verdict rolls nothing back",
            "roll_back_if_bad",
            'if verdict.verdict == "bad":',
            "if False:",
        ),
        (
            "a candidate that was withdrawn goes on",
            "roll_back_if_bad",
            "if rollout.candidate not in stored.route.versions:",
            "if False:",
        ),
    ),
)
