package main

// mutations break one guard each, of every promise at least one. Those of I1 and I2 are the classes of
// verdicts, which decide what stops databases.
var mutations = []mutation{
	{
		"I1", "a KMS that does not answer has refused", "shared/verdict/verdict.go",
		"ConnectFailed: Unreachable, TimedOut: Unreachable,", "ConnectFailed: Invalid, TimedOut: Invalid,",
	},
	{"I1", "a KMS that fails has refused", "shared/verdict/verdict.go", "ProviderError: Unreachable,", "ProviderError: Invalid,"},
	{"I1", "a KMS that is busy has refused", "shared/verdict/verdict.go", "RateLimited: Throttled,", "RateLimited: Invalid,"},
	{"I1", "a KMS that does not let our address in has refused", "shared/verdict/verdict.go", "NetworkRefused: Unreachable,", "NetworkRefused: Invalid,"},
	{
		"I1", "an STS that fails or is busy has refused", "shared/kms/awskms/session.go", // behind its code is the canary
		"\tif a.options.Canary == nil || refused.Class() != verdict.Invalid {\n",
		"\tif a.options.Canary == nil || refused.Class() != verdict.Invalid {\n\t\trefused.Reason = verdict.RoleDenied\n",
	},
	{
		"I1", "an Entra ID that fails or is busy has refused", "shared/kms/azurekv/classify.go",
		"\t\tf.Reason = reason\n\t\treturn\n\t}\n\tfor _, code := range r.Codes {", "\t\tf.Reason, _ = verdict.RoleDenied, reason\n\t\treturn\n\t}\n\tfor _, code := range r.Codes {",
	},
	{
		"I1", "a Google that fails to issue a token has refused", "shared/access/googleaccount/exchange.go",
		"\tcase f.Reason != \"\":", "\tcase f.Reason != \"\":\n\t\tf.Reason = verdict.CredentialsInvalid",
	},
	{
		"I1", "a Google that fails to impersonate has refused", "shared/access/googleaccount/status.go",
		"\tif f.Reason != \"\" {\n\t\treturn f", "\tif f.Reason != \"\" {\n\t\tf.Reason = verdict.CredentialsInvalid\n\t\treturn f",
	},
	{
		"I1", "a key stops what is under the key of another cloud", "shared/cluster/enforce.go",
		"v.Class() == verdict.Invalid && d.DependsOn(p)", "v.Class() == verdict.Invalid",
	},
	{
		"I2", "a key that is not valid is let pass", "shared/cluster/enforce.go",
		"v.Class() == verdict.Invalid && d.DependsOn(p)", "v.Class() == verdict.Invalid && d.DependsOn(p) && c.Deleting()",
	},
	{"I1", "a node is stopped to have its key wrapped anew", "shared/cluster/rewrap.go", "State: n.Desired.State", "State: Stop"},
	{"I2", "keys are checked every three quarters of an hour", "shared/encryption/sweep.go", "const SweepSlots = 15", "const SweepSlots = 45"},
	{"I2", "a node of a disabled cluster has its key released", "shared/node/masterkey.go", "\tif c.Disabled != nil {\n\t\treturn atlas.Fail", "\tif c.Disabled != nil && n.ID == \"\" {\n\t\treturn atlas.Fail"},
	{"nobody is let in", "the tokens of agents are valid for ever", "shared/node/protocol/token.go", "now.Before(expires.Add(Leeway))", "now.Before(expires.Add(1e6*Leeway))"},
	{"I3", "the last verdict written wins", "shared/encryption/check.go", "if !v.Supersedes(old) {", "if !v.Supersedes(old) && p == \"\" {"},
	{
		"I4", "a key is configured that was not proved", "shared/encryption/update.go",
		"\tif err != nil {\n\t\treturn nil, refusal(err, next, p, ref)\n\t}\n\tstate := s.newState(", "\tstate := s.newState(",
	},
	{
		"I5", "the ledger forgets what a node may still need", "shared/node/ack.go",
		"all := done.Command == cluster.RotateCommand || replaced || started", "all := true; return copies",
	},
	{
		"I5", "tenants are not told to keep the keys of snapshots", "shared/changeover/report.go",
		"\t\tif e.CMK.Provider != r.Provider {", "\t\tif e.CMK.Provider != r.Provider || e.SnapshotID != \"\" {",
	},
	{
		"I6", "a former key is left before all is wrapped anew", "agent/work.go",
		"for _, key := range []**wrappedKey{&next.Current, &next.Next, &restored.Key} {", "for _, key := range []**wrappedKey{&next.Next, &restored.Key} {",
	},
	{
		"I7", "a change of a cluster is acknowledged that was not stored", "shared/cluster/commit.go",
		"\tif err := s.Table.Write(ctx, append(ops, told...)...); err != nil {\n\t\treturn Cluster{}, err\n\t}\n\tafter.version++",
		"\tif before.ID != \"\" && before.Spec.Provider != after.Spec.Provider {\n\t\treturn after, nil\n\t}\n" +
			"\tif err := s.Table.Write(ctx, append(ops, told...)...); err != nil {\n\t\treturn Cluster{}, err\n\t}\n\tafter.version++",
	},
	{
		"I7", "snapshots expire after ten minutes", "shared/snapshot/advance.go",
		"\t\tif x.Expires.After(v.now) {", "\t\tif x.Created.Add(10 * time.Minute).After(v.now) {",
	},
	{
		"I7", "snapshots are kept for ten minutes, whatever was asked", "shared/snapshot/take.go",
		"x.Expires = x.Retention.From(x.Created)", "x.Expires = x.Created.Add(10 * time.Minute)",
	},
	{
		"I8", "data is put under a key that is not stored", "agent/work.go",
		"\tif err := save(w.cfg.State, keysFile, next); err != nil {\n\t\treturn err\n\t}\n\tw.ring, w.lost = next, nil",
		"\tsave(w.cfg.State, keysFile, ring{Plain: next.Plain})\n\tw.ring, w.lost = next, nil",
	},
	{
		"I9", "master keys are stored in the clear, beside the wrapped ones", "shared/node/masterkey.go", "\treturn s.enter(ctx, n, e)\n}",
		"\tentered, err := s.enter(ctx, n, e)\n\tif item, got := s.Table.Get(ctx, entered.Key()); got == nil && err == nil {\n" +
			"\t\titem.Body = append(item.Body[:len(item.Body)-1:len(item.Body)-1], fmt.Sprintf(`,\"clear\":\"%x\"}`, secret)...)\n" +
			"\t\ts.Table.Write(ctx, store.Put(item))\n\t}\n\treturn entered, err\n}",
	},
	{
		"I9", "released master keys are logged in base64", "shared/node/masterkey.go", "slog.String(\"cmkVersion\", e.CMK.Version))\n\treturn protocol.ReleaseResponse",
		"slog.String(\"cmkVersion\", e.CMK.Version), slog.Any(\"key\", append([]byte(n.ID), secret...)))\n\treturn protocol.ReleaseResponse",
	},
	{
		"I9", "released master keys are logged in hex", "shared/node/masterkey.go", "slog.String(\"cmkVersion\", e.CMK.Version))\n\treturn protocol.ReleaseResponse",
		"slog.String(\"cmkVersion\", e.CMK.Version), slog.String(\"key\", fmt.Sprintf(\"%x\", secret)))\n\treturn protocol.ReleaseResponse",
	},
	{
		"I9", "master keys are released in the clear, behind the sealed ones", "shared/node/masterkey.go",
		"ReleaseResponse{Sealed: sealed}, nil", "ReleaseResponse{Sealed: append(sealed, secret...)}, nil",
	},
	{"I9", "a database does not encrypt", "agent/memengine/memengine.go", "\tif secret != nil {\n\t\tblock, err", "\tif secret != nil && len(database) == 0 {\n\t\tblock, err"},
}

// crowdMutations break the guard against mass failures, which needs a crowd to do anything.
var crowdMutations = []mutation{
	{
		"I1", "any number of keys may become invalid at once", "shared/validity/sweep/breaker.go",
		"if n >= implausibleGroups && isMost", "if n >= 100*implausibleGroups && isMost",
	},
	{"I1", "a run believes the few keys that it sees", "shared/validity/sweep/witness.go", "r.valid[s.provider] < enough &&", "r.valid[s.provider] < 0 &&"},
	{"I1", "the operator is not told", "shared/validity/sweep/breaker.go", `obs.Count{Name: "VerdictsHeld"`, `obs.Count{Name: "Verdicts"`},
	{
		"I2", "one customer of many projects is not believed", "shared/validity/sweep/breaker.go",
		"len(tenants[c]) >= implausibleTenants", "len(tenants[c]) > 0",
	},
}
