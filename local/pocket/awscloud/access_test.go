package awscloud_test

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
)

const (
	tenantRootARN = "arn:aws:iam::111122223333:root"
	useKeys       = `["kms:Encrypt","kms:Decrypt","kms:DescribeKey"]`
	withID        = `,"Condition":{"StringEquals":{"sts:ExternalId":"tenant-1"}}`
)

func keyPolicy(statements string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + tenantRootARN + `"},"Action":"kms:*","Resource":"*"},` + statements + `]}`
}

// onlyPolicy is a key policy that does not leave access to IAM policies, but for administration.
func onlyPolicy(statements string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + tenantRootARN + `"},` +
		`"Action":["kms:PutKeyPolicy","kms:CreateKey"],"Resource":"*"},` + statements + `]}`
}

func (w *world) putPolicy(key, text string) {
	w.t.Helper()
	must(w.kms(tenantRoot).PutKeyPolicy(w.ctx(), &kms.PutKeyPolicyInput{KeyId: &key, Policy: &text}))(w.t)
}

func TestAccess_within_the_account(t *testing.T) {
	w := newWorld(t)
	key := w.newKey()
	granted, plain := w.newUser(tenantRoot, "granted", allow(useKeys, "*")), w.newUser(tenantRoot, "plain")
	const plainARN = "arn:aws:iam::111122223333:user/plain"
	cases := map[string]struct {
		policy string
		who    awscloud.Keys
		want   string
	}{
		"the default policy leaves it to IAM":                 {"", granted, ""},
		"the default policy allows nobody by itself":          {"", plain, "AccessDeniedException"},
		"the key policy may name a user directly":             {onlyPolicy(`{"Effect":"Allow","Principal":{"AWS":"` + plainARN + `"},"Action":"kms:Enc*","Resource":"*"}`), plain, ""},
		"without delegation IAM policies count for naught":    {onlyPolicy(`{"Effect":"Allow","Principal":{"AWS":"` + plainARN + `"},"Action":"kms:Enc*","Resource":"*"}`), granted, "AccessDeniedException"},
		"a deny in the key policy wins":                       {keyPolicy(`{"Effect":"Deny","Principal":"*","Action":"kms:Encrypt","Resource":"*"}`), granted, "AccessDeniedException"},
		"a condition on the encryption context that fits":     {onlyPolicy(`{"Effect":"Allow","Principal":"*","Action":"kms:Encrypt","Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:a":"1"}}}`), plain, ""},
		"a condition on the encryption context that does not": {onlyPolicy(`{"Effect":"Allow","Principal":"*","Action":"kms:Encrypt","Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:a":"2"}}}`), plain, "AccessDeniedException"},
		"a condition on the caller's account":                 {onlyPolicy(`{"Effect":"Allow","Principal":"*","Action":"kms:Encrypt","Resource":"*","Condition":{"StringEquals":{"kms:CallerAccount":"111122223333"}}}`), plain, ""},
		"a condition on the service in between":               {onlyPolicy(`{"Effect":"Allow","Principal":"*","Action":"kms:Encrypt","Resource":"*","Condition":{"StringEquals":{"kms:ViaService":"s3.us-east-1.amazonaws.com"}}}`), plain, "AccessDeniedException"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if c.policy == "" {
				c.policy = keyPolicy(`{"Effect":"Allow","Principal":{"Service":"x.amazonaws.com"},"Action":"kms:*","Resource":"*"}`)
			}
			w.putPolicy(key, c.policy)
			_, err := encrypt(w, w.kms(c.who), key)
			wantCode(t, "encrypt", err, c.want)
		})
	}
}

func TestAccess_across_accounts_needs_both_policies(t *testing.T) {
	w := newWorld(t)
	key := w.newKey()
	granted, plain := w.newUser(operatorRoot, "granted", allow(useKeys, "*")), w.newUser(operatorRoot, "plain")
	_, err := encrypt(w, w.kms(granted), key)
	wantCode(t, "encrypt without the key's policy", err, "AccessDeniedException")
	if err == nil || !strings.Contains(err.Error(), "because the resource does not exist in this Region, no resource-based policies allow access") {
		t.Errorf("another account learns from %q whether the key exists", err)
	}
	w.putPolicy(key, keyPolicy(`{"Effect":"Allow","Principal":{"AWS":"999900001111"},"Action":"kms:*","Resource":"*"}`))
	_, err = encrypt(w, w.kms(granted), key)
	wantCode(t, "encrypt with both", err, "")
	_, err = encrypt(w, w.kms(plain), key)
	wantCode(t, "encrypt without the identity's policy", err, "AccessDeniedException")
	if err == nil || !strings.Contains(err.Error(), "because no identity-based policy allows the kms:Encrypt action") {
		t.Errorf("the message is %q", err)
	}
	w.putPolicy(key, keyPolicy(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::999900001111:user/plain"},"Action":"kms:*","Resource":"*"}`))
	_, err = encrypt(w, w.kms(plain), key)
	wantCode(t, "encrypt with the key's policy naming the user", err, "AccessDeniedException")
	_, err = w.kms(granted).DisableKey(w.ctx(), &kms.DisableKeyInput{KeyId: &key})
	wantCode(t, "disabling another account's key", err, "AccessDeniedException")
}

func TestAccess_by_network(t *testing.T) {
	w := newWorld(t, func(cfg *awscloud.Config) {
		cfg.SourceIP = netip.MustParseAddr("203.0.113.9")
		cfg.EndpointDelay = func() time.Duration { return 0 }
	})
	key := w.newKey()
	byIP := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":["203.0.113.0/24"]}}}]}`
	keys := w.newUser(tenantRoot, "office", byIP)
	_, err := encrypt(w, w.kms(keys), key)
	wantCode(t, "encrypt from the network", err, "")
	made := w.newEndpoint()
	endpoint := func(o *kms.Options) { o.BaseEndpoint = aws.String("https://" + *made.DnsEntries[0].DnsName) }
	_, err = encrypt(w, w.kms(keys, endpoint), key)
	wantCode(t, "encrypt through a VPC endpoint, which shows no address", err, "AccessDeniedException")
	w.putPolicy(key, onlyPolicy(`{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"aws:SourceVpce":"`+*made.VpcEndpointId+`"}}}`))
	_, err = encrypt(w, w.kms(keys, endpoint), key)
	wantCode(t, "encrypt through the endpoint that the key names", err, "")
	w.putPolicy(key, onlyPolicy(`{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"aws:SourceVpce":"vpce-9"}}}`))
	_, err = encrypt(w, w.kms(w.newUser(tenantRoot, "nobody"), endpoint), key)
	wantCode(t, "encrypt through another endpoint", err, "AccessDeniedException")
}

func TestAccess_a_key_policy_must_make_sense(t *testing.T) {
	w := newWorld(t)
	key := w.newKey()
	for name, text := range map[string]string{
		"no JSON":           "{",
		"a version":         `{"Version":"2020-03-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}]}`,
		"a lockout":         `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + latchkeyARN + `"},"Action":"kms:*","Resource":"*"}]}`,
		"an unknown person": keyPolicy(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:user/ghost"},"Action":"kms:*","Resource":"*"}`),
		"an unknown place":  keyPolicy(`{"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":"kms:*","Resource":"*"}`),
	} {
		_, err := w.kms(tenantRoot).PutKeyPolicy(w.ctx(), &kms.PutKeyPolicyInput{KeyId: &key, Policy: &text})
		wantCode(t, name, err, "MalformedPolicyDocumentException")
	}
}

func TestAssumeRole_gives_the_role_to_whom_it_trusts(t *testing.T) {
	w := newWorld(t)
	key := w.newKey()
	role := w.newRole("atlas-kms", trust(latchkeyARN, withID), allow(useKeys, key))
	out := must(w.assume(role, func(in *sts.AssumeRoleInput) { in.ExternalId = aws.String("tenant-1") }))(t)
	if *out.AssumedRoleUser.Arn != "arn:aws:sts::111122223333:assumed-role/atlas-kms/latchkey" || !strings.HasPrefix(*out.AssumedRoleUser.AssumedRoleId, "AROA") {
		t.Errorf("the session is %s (%s)", *out.AssumedRoleUser.Arn, *out.AssumedRoleUser.AssumedRoleId)
	}
	c := w.session(out)
	wantCode(t, "decrypt in the session", decrypt(w, c, key, must(encrypt(w, c, key))(t)), "")
	_, err := encrypt(w, c, w.newKey())
	wantCode(t, "encrypt with another key of the tenant", err, "AccessDeniedException")
	w.restart()
	_, err = encrypt(w, w.session(out), key)
	wantCode(t, "the session after a restart", err, "")
	for name, id := range map[string]*string{"another external id": aws.String("tenant-2"), "no external id": nil} {
		_, err := w.assume(role, func(in *sts.AssumeRoleInput) { in.ExternalId = id })
		wantCode(t, name, err, "AccessDenied")
	}
}

func TestAssumeRole_refuses(t *testing.T) {
	w := newWorld(t)
	role := w.newRole("r", trust("arn:aws:iam::999900001111:root", ""), allow(useKeys, "*"))
	stranger := w.newUser(operatorRoot, "stranger")
	cases := map[string]struct {
		who    awscloud.Keys
		change func(*sts.AssumeRoleInput)
		want   string
	}{
		"nothing, if all is well":              {latchkeyKeys, func(*sts.AssumeRoleInput) {}, ""},
		"a caller whose policies do not allow": {stranger, func(*sts.AssumeRoleInput) {}, "AccessDenied"},
		"another account":                      {tenantRoot, func(*sts.AssumeRoleInput) {}, "AccessDenied"},
		"the root user":                        {operatorRoot, func(*sts.AssumeRoleInput) {}, "AccessDenied"},
		"a role that does not exist":           {latchkeyKeys, func(in *sts.AssumeRoleInput) { in.RoleArn = aws.String("arn:aws:iam::111122223333:role/ghost") }, "AccessDenied"},
		"a role by another path":               {latchkeyKeys, func(in *sts.AssumeRoleInput) { in.RoleArn = aws.String("arn:aws:iam::111122223333:role/x/r") }, "AccessDenied"},
		"what is no role":                      {latchkeyKeys, func(in *sts.AssumeRoleInput) { in.RoleArn = aws.String("arn:aws:iam::111122223333:user/latchkey") }, "ValidationError"},
		"a bad session name":                   {latchkeyKeys, func(in *sts.AssumeRoleInput) { in.RoleSessionName = aws.String("a b") }, "ValidationError"},
		"too short a session":                  {latchkeyKeys, func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(899) }, "ValidationError"},
		"a longer session than the role has":   {latchkeyKeys, func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(3601) }, "ValidationError"},
		"a session policy that is none":        {latchkeyKeys, func(in *sts.AssumeRoleInput) { in.Policy = aws.String("{}") }, "MalformedPolicyDocument"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			in := &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String("latchkey")}
			c.change(in)
			_, err := w.sts(c.who).AssumeRole(w.ctx(), in)
			wantCode(t, "AssumeRole", err, c.want)
		})
	}
}

func TestAssumeRole_a_session_policy_only_takes_away(t *testing.T) {
	w := newWorld(t)
	key := w.newKey()
	role := w.newRole("r", trust(latchkeyARN, ""), allow(`"kms:Encrypt"`, "*"))
	for policy, want := range map[string]string{
		allow(`"kms:*"`, "*"):       "",
		allow(`"kms:Decrypt"`, "*"): "AccessDeniedException",
	} {
		c := w.session(must(w.assume(role, func(in *sts.AssumeRoleInput) { in.Policy = &policy }))(t))
		_, err := encrypt(w, c, key)
		wantCode(t, "encrypt limited by "+policy, err, want)
		_, err = c.DescribeKey(w.ctx(), &kms.DescribeKeyInput{KeyId: &key})
		wantCode(t, "describe, which the role may not", err, "AccessDeniedException")
	}
}

func TestSessions_end(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		key := w.newKey()
		role := w.newRole("r", trust(latchkeyARN, ""), allow(useKeys, "*"))
		out := must(w.assume(role, func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(900) }))(t)
		time.Sleep(15*time.Minute - time.Second)
		_, err := encrypt(w, w.session(out), key)
		wantCode(t, "a second before", err, "")
		time.Sleep(time.Second)
		_, err = encrypt(w, w.session(out), key)
		wantCode(t, "KMS after", err, "ExpiredTokenException")
		cfg := w.config(awscloud.Keys{})
		cfg.Credentials = w.session(out).Options().Credentials
		_, err = sts.NewFromConfig(cfg).GetCallerIdentity(w.ctx(), nil)
		wantCode(t, "STS after", err, "ExpiredToken")
	})
}

func TestSessions_lose_their_permissions_with_their_role(t *testing.T) {
	w := newWorld(t)
	key := w.newKey()
	role := w.newRole("r", trust(latchkeyARN, ""), allow(useKeys, "*"))
	c := w.session(must(w.assume(role))(t))
	admin := w.iam(tenantRoot)
	must(admin.DeleteRolePolicy(w.ctx(), &iam.DeleteRolePolicyInput{RoleName: aws.String("r"), PolicyName: aws.String("inline")}))(t)
	_, err := encrypt(w, c, key)
	wantCode(t, "encrypt without the policy", err, "AccessDeniedException")
	must(admin.DeleteRole(w.ctx(), &iam.DeleteRoleInput{RoleName: aws.String("r")}))(t)
	w.newRole("r", trust(latchkeyARN, ""), allow(useKeys, "*"))
	_, err = encrypt(w, c, key)
	wantCode(t, "encrypt in a session of the former role of that name", err, "AccessDeniedException")
}

func TestLag_makes_changes_take_effect_late(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(cfg *awscloud.Config) { cfg.Lag = func() time.Duration { return 10 * time.Second } })
		key := w.newKey()
		role := w.newRole("r", trust(latchkeyARN, ""), allow(useKeys, "*"))
		_, err := w.assume(role)
		wantCode(t, "assuming a role just made", err, "AccessDenied")
		time.Sleep(10 * time.Second)
		c := w.session(must(w.assume(role))(t))
		_, err = encrypt(w, c, key)
		wantCode(t, "encrypt", err, "")
		must(w.iam(tenantRoot).DeleteRolePolicy(w.ctx(), &iam.DeleteRolePolicyInput{RoleName: aws.String("r"), PolicyName: aws.String("inline")}))(t)
		_, err = encrypt(w, c, key)
		wantCode(t, "encrypt before the revocation takes effect", err, "")
		time.Sleep(10 * time.Second)
		_, err = encrypt(w, c, key)
		wantCode(t, "encrypt after it", err, "AccessDeniedException")

		multi := w.newKey(func(in *kms.CreateKeyInput) { in.MultiRegion = aws.Bool(true) })
		replica := must(w.kms(tenantRoot).ReplicateKey(w.ctx(), &kms.ReplicateKeyInput{KeyId: &multi, ReplicaRegion: aws.String("eu-west-1")}))(t)
		there := w.kmsIn("eu-west-1", tenantRoot)
		_, err = encrypt(w, there, *replica.ReplicaKeyMetadata.Arn)
		wantCode(t, "encrypt with a replica that is being created", err, "KMSInvalidStateException")
		time.Sleep(10 * time.Second)
		_, err = encrypt(w, there, *replica.ReplicaKeyMetadata.Arn)
		wantCode(t, "encrypt with the replica later", err, "")

		must(w.iam(tenantRoot).CreateUser(w.ctx(), &iam.CreateUserInput{UserName: aws.String("u")}))(t)
		k := must(w.iam(tenantRoot).CreateAccessKey(w.ctx(), &iam.CreateAccessKeyInput{UserName: aws.String("u")}))(t).AccessKey
		keys := awscloud.Keys{AccessKeyID: *k.AccessKeyId, SecretAccessKey: *k.SecretAccessKey}
		_, err = w.sts(keys).GetCallerIdentity(w.ctx(), nil)
		wantCode(t, "an access key just made", err, "InvalidClientTokenId")
		time.Sleep(10 * time.Second)
		_, err = w.sts(keys).GetCallerIdentity(w.ctx(), nil)
		wantCode(t, "the access key later", err, "")
	})
}

func TestAccessKeys_can_be_switched_off_and_deleted(t *testing.T) {
	w := newWorld(t)
	keys := w.newUser(tenantRoot, "u", allow(`"iam:*"`, "arn:aws:iam::111122223333:user/u"))
	me := w.iam(keys)
	if list := must(me.ListAccessKeys(w.ctx(), nil))(t).AccessKeyMetadata; len(list) != 1 || *list[0].AccessKeyId != keys.AccessKeyID {
		t.Errorf("the keys are %+v", list)
	}
	must(me.CreateAccessKey(w.ctx(), nil))(t)
	_, err := me.CreateAccessKey(w.ctx(), nil)
	wantCode(t, "a third access key", err, "LimitExceeded")
	set := func(status iamtypes.StatusType) {
		must(w.iam(tenantRoot).UpdateAccessKey(w.ctx(), &iam.UpdateAccessKeyInput{UserName: aws.String("u"), AccessKeyId: &keys.AccessKeyID, Status: status}))(t)
	}
	set(iamtypes.StatusTypeInactive)
	_, err = w.kms(keys).ListKeys(w.ctx(), nil)
	wantCode(t, "KMS with an inactive key", err, "UnrecognizedClientException")
	_, err = me.GetUser(w.ctx(), nil)
	wantCode(t, "IAM with an inactive key", err, "InvalidClientTokenId")
	set(iamtypes.StatusTypeActive)
	must(me.GetUser(w.ctx(), nil))(t)
	must(me.DeleteAccessKey(w.ctx(), &iam.DeleteAccessKeyInput{AccessKeyId: &keys.AccessKeyID}))(t)
	_, err = me.GetUser(w.ctx(), nil)
	wantCode(t, "IAM with a deleted key", err, "InvalidClientTokenId")
	_, err = w.iam(tenantRoot).DeleteUser(w.ctx(), &iam.DeleteUserInput{UserName: aws.String("u")})
	wantCode(t, "deleting a user who has keys", err, "DeleteConflict")
}

func TestIAM_roles(t *testing.T) {
	w := newWorld(t)
	c := w.iam(tenantRoot)
	out := must(c.CreateRole(w.ctx(), &iam.CreateRoleInput{
		RoleName: aws.String("deep"), Path: aws.String("/a/b/"), AssumeRolePolicyDocument: aws.String(trust(latchkeyARN, withID)),
	}))(t)
	if *out.Role.Arn != "arn:aws:iam::111122223333:role/a/b/deep" || len(*out.Role.RoleId) != 21 {
		t.Errorf("the role is %s (%s)", *out.Role.Arn, *out.Role.RoleId)
	}
	_, err := c.CreateRole(w.ctx(), &iam.CreateRoleInput{RoleName: aws.String("DEEP"), AssumeRolePolicyDocument: aws.String(trust(latchkeyARN, ""))})
	wantCode(t, "another role of the name", err, "EntityAlreadyExists")
	must(c.PutRolePolicy(w.ctx(), &iam.PutRolePolicyInput{RoleName: aws.String("deep"), PolicyName: aws.String("p"), PolicyDocument: aws.String(allow(useKeys, "*"))}))(t)
	got := must(c.GetRolePolicy(w.ctx(), &iam.GetRolePolicyInput{RoleName: aws.String("deep"), PolicyName: aws.String("p")}))(t)
	if !strings.HasPrefix(*got.PolicyDocument, "%7B%22Version%22%3A%222012-10-17%22%2C") {
		t.Errorf("the policy document is %s", *got.PolicyDocument)
	}
	if roles := must(c.ListRoles(w.ctx(), &iam.ListRolesInput{PathPrefix: aws.String("/a/")}))(t).Roles; len(roles) != 1 {
		t.Errorf("the roles are %+v", roles)
	}
	_, err = c.DeleteRole(w.ctx(), &iam.DeleteRoleInput{RoleName: aws.String("deep")})
	wantCode(t, "deleting a role that has policies", err, "DeleteConflict")
	_, err = c.GetRole(w.ctx(), &iam.GetRoleInput{RoleName: aws.String("ghost")})
	wantCode(t, "a role that does not exist", err, "NoSuchEntity")
	_, err = w.iam(w.newUser(tenantRoot, "plain")).GetRole(w.ctx(), &iam.GetRoleInput{RoleName: aws.String("deep")})
	wantCode(t, "IAM without permission", err, "AccessDenied")
}

func TestIAM_refuses_trust_policies_as_IAM_does(t *testing.T) {
	w := newWorld(t)
	for name, text := range map[string]string{
		"the documents' version":          strings.Replace(trust(latchkeyARN, withID), "2012-10-17", "2020-03-17", 1),
		"a resource":                      `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole","Resource":"*"}]}`,
		"other actions":                   `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"kms:Decrypt"}]}`,
		"a principal that does not exist": trust("arn:aws:iam::999900001111:user/ghost", ""),
	} {
		_, err := w.iam(tenantRoot).CreateRole(w.ctx(), &iam.CreateRoleInput{RoleName: aws.String("r"), AssumeRolePolicyDocument: &text})
		wantCode(t, name, err, "MalformedPolicyDocument")
		if name == "the documents' version" && !strings.Contains(err.Error(), `must be "2012-10-17"`) {
			t.Errorf("the message does not help: %v", err)
		}
	}
}

func TestSTS_says_who_calls(t *testing.T) {
	w := newWorld(t, func(cfg *awscloud.Config) {
		cfg.Accounts[1].Roles = []awscloud.Role{{
			Name: "lambda", Trust: trust(latchkeyARN, ""), Session: "encryption",
			Keys: awscloud.Keys{AccessKeyID: "AKIALAMBDA0000000000", SecretAccessKey: "s"}, Policies: map[string]string{"assume": mayAssume},
		}}
	})
	for want, keys := range map[string]awscloud.Keys{
		"arn:aws:iam::111122223333:root": tenantRoot, latchkeyARN: latchkeyKeys,
		"arn:aws:sts::999900001111:assumed-role/lambda/encryption": {AccessKeyID: "AKIALAMBDA0000000000", SecretAccessKey: "s"},
	} {
		if out := must(w.sts(keys).GetCallerIdentity(w.ctx(), nil))(t); *out.Arn != want || !strings.Contains(want, *out.Account) {
			t.Errorf("the caller is %s in %s, want %s", *out.Arn, *out.Account, want)
		}
	}
}

func TestSTS_faults_look_like_the_provider(t *testing.T) {
	w := newWorld(t)
	client := sts.NewFromConfig(w.config(latchkeyKeys), func(o *sts.Options) { o.RetryMaxAttempts = 1 })
	for kind, want := range map[pocket.FaultKind]string{
		pocket.Deny: "AccessDenied", pocket.Firewall: "AccessDenied", pocket.Throttle: "Throttling", pocket.ServerError: "InternalFailure",
	} {
		w.faults.Set(pocket.Fault{Host: "*", Kind: kind, Operation: "GetCallerIdentity", Count: 1})
		_, err := client.GetCallerIdentity(w.ctx(), nil)
		wantCode(t, string(kind), err, want)
	}
}
