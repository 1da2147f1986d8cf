package encryption_test

import (
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"latchkey/local/pocket"
	"latchkey/local/pocket/pockettest"
	"latchkey/shared/atlas"
)

func scenarios() []scenario {
	return slices.Concat(awsScenarios(), azureScenarios(), googleScenarios(), generalScenarios(), roleScenarios(), clusterScenarios(), endpointScenarios(),
		restoreScenarios())
}

// awsBroken makes a key, does something to it and returns the request to use it through a role.
func awsBroken(harm func(w *world, key string), change ...func(*kms.CreateKeyInput)) func(*world) request {
	return func(w *world) request {
		w.named = w.awsKey(change...)
		harm(w, w.named)
		return configure("awsKms", w.byAWSRole(w.named))
	}
}

func untouched(*world, string) {}

// awsWith sets members of a good request to enable a key through a role.
func awsWith(changes members) func(*world) request {
	return func(w *world) request { return configure("awsKms", w.byAWSRole(w.awsKey()).with(changes)) }
}

func awsScenarios() []scenario {
	const unknown = "1234abcd-12ab-34cd-56ef-1234567890ab"
	const abroad = "arn:aws:kms:eu-west-1:" + pockettest.TenantAccount + ":key/" + unknown
	return []scenario{
		{code: atlas.AWSKeyNotFound, when: "no such key", prepare: awsWith(members{"customerMasterKeyID": unknown}), params: `["` + unknown + `","US_EAST_1"]`},
		{code: atlas.AWSKeyNotFound, when: "single-Region key of another region", prepare: awsWith(members{"customerMasterKeyID": abroad}), params: `["` + abroad + `","US_EAST_1"]`},
		{code: atlas.AWSKeyNotFound, when: "multi-Region key without a replica in the region", prepare: func(w *world) request {
			key := w.awsKey(func(in *kms.CreateKeyInput) { in.MultiRegion = aws.Bool(true) })
			w.named = key
			return configure("awsKms", w.byAWSRole(key).with(members{"region": "EU_WEST_1"}))
		}, params: `["%s","EU_WEST_1"]`},
		{code: atlas.AWSKeyNotEnabled, when: "key disabled", params: `["%s"]`, prepare: awsBroken(func(w *world, key string) {
			_, err := w.KMS(region).DisableKey(w.t.Context(), &kms.DisableKeyInput{KeyId: &key})
			w.must(err)
		})},
		{code: atlas.AWSKeyPendingDeletion, when: "deletion scheduled", params: `["%s"]`, prepare: awsBroken(func(w *world, key string) {
			_, err := w.KMS(region).ScheduleKeyDeletion(w.t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: &key})
			w.must(err)
		})},
		{code: atlas.AWSKeyPendingImport, when: "origin EXTERNAL without key material", params: `["%s"]`, prepare: awsBroken(untouched, func(in *kms.CreateKeyInput) {
			in.Origin = types.OriginTypeExternal
		})},
		{code: atlas.AWSKeyUnsuitable, when: "key for MACs", params: `["%s"]`, prepare: awsBroken(untouched, func(in *kms.CreateKeyInput) {
			in.KeySpec, in.KeyUsage = types.KeySpecHmac256, types.KeyUsageTypeGenerateVerifyMac
		})},
		{code: atlas.AWSRegionNotSupported, when: "region GLOBAL", prepare: awsWith(members{"region": "GLOBAL"}), params: `["GLOBAL"]`},
		{code: atlas.InvalidRegion, when: "Azure's name of a region for AWS", prepare: awsWith(members{"region": "EUROPE_NORTH"})},
		{code: atlas.CannotAssumeRole, when: "trust withdrawn after the authorization", detail: "Atlas cannot assume the specified role (%s).", params: `["%s"]`, prepare: func(w *world) request {
			m := w.byAWSRole(w.awsKey())
			w.named = m["roleId"].(string)
			w.trust(trusting("another external id"))
			return configure("awsKms", m)
		}},
		{code: atlas.NoPermission, when: "AWS: role's policy lacks kms:Decrypt", params: `["%s"]`, prepare: func(w *world) request {
			w.named = w.awsKey()
			m := w.byAWSRole(w.named)
			w.allowIAMRole(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:DescribeKey","kms:Encrypt"],"Resource":"*"}]}`)
			return configure("awsKms", m)
		}},
		{code: atlas.NoPermission, when: "AWS: key of another account by its id", params: `["%s"]`, prepare: func(w *world) request {
			w.named = "arn:aws:kms:us-east-1:" + pockettest.OperatorAccount + ":key/" + unknown
			return configure("awsKms", w.byAWSRole(w.named))
		}},
		{code: atlas.InvalidAWSCredentials, when: "wrong secret access key", detail: "Invalid AWS credentials.", params: `[]`, prepare: func(w *world) request {
			w.secrets = append(w.secrets, "wrongwrongwrongwrongwrongwrongwrongwrong")
			return configure("awsKms", w.byAWSUser(w.awsKey()).with(members{"secretAccessKey": "wrongwrongwrongwrongwrongwrongwrongwrong"}))
		}},
		{code: atlas.InvalidAWSCredentials, when: "unknown access key", params: `[]`, prepare: func(w *world) request {
			return configure("awsKms", w.byAWSUser(w.awsKey()).with(members{"accessKeyID": "AKIAIOSFODNN7EXAMPLE"}))
		}},
		{
			code: atlas.AWSCredentialsDeprecated, when: "user keys that the operator does not accept", detail: "Credentials based authentication is no longer supported for AWS KMS.", params: `[]`,
			prepare: func(w *world) request { return configure("awsKms", w.byAWSUser(w.awsKey())) },
			options: []option{func(w *world, _ *pockettest.Options) { w.deps.AllowAWSUserKeys = false }},
		},
		{code: atlas.AWSCredentialsDeprecated, when: "user keys after a role was used", params: `[]`, prepare: func(w *world) request {
			key := w.awsKey()
			w.mustSend(configure("awsKms", w.byAWSRole(key)))
			w.mustSend(configure("awsKms", members{"enabled": false}))
			return configure("awsKms", w.byAWSUser(key))
		}},
		{
			code: atlas.EARSettingsInvalid, when: "another key while the present one is disabled", params: `[]`,
			detail: "Atlas is unable to access your encryption key. You cannot change your encryption key until access to your current encryption key has been restored.",
			prepare: func(w *world) request {
				key, other := w.awsKey(), w.awsKey()
				w.mustSend(configure("awsKms", w.byAWSRole(key)))
				w.awsKeyChanges(key)["key disabled"].take()
				return configure("awsKms", members{"customerMasterKeyID": other})
			},
		},
		{code: atlas.EARSettingsInvalid, when: "disabling while the present key is disabled", params: `[]`, prepare: func(w *world) request {
			key := w.awsKey()
			w.mustSend(configure("awsKms", w.byAWSRole(key)))
			w.awsKeyChanges(key)["key disabled"].take()
			return configure("awsKms", members{"enabled": false})
		}},
		{code: atlas.KMSUnreachable, when: "AWS KMS down", params: `[]`, prepare: func(w *world) request {
			m := w.byAWSRole(w.awsKey())
			w.Faults.Set(pocket.Fault{Host: "kms.us-east-1.amazonaws.com", Kind: pocket.Down})
			return configure("awsKms", m)
		}},
		{code: atlas.KMSUnreachable, when: "AWS KMS does not answer", params: `[]`, prepare: func(w *world) request {
			m := w.byAWSRole(w.awsKey())
			w.Faults.Set(pocket.Fault{Host: "kms.us-east-1.amazonaws.com", Kind: pocket.Timeout})
			return configure("awsKms", m)
		}},
		{code: atlas.KMSUnreachable, when: "AWS throttles", params: `[]`, prepare: func(w *world) request {
			m := w.byAWSRole(w.awsKey())
			w.Faults.Set(pocket.Fault{Host: "kms.us-east-1.amazonaws.com", Kind: pocket.Throttle})
			return configure("awsKms", m)
		}},
		{code: atlas.UnexpectedError, when: "STS refuses Latchkey's own credentials", detail: "Unexpected error.", params: `[]`, prepare: func(w *world) request {
			m := w.byAWSRole(w.awsKey())
			time.Sleep(24 * time.Hour)
			w.wire.fail = func(_ int, r *http.Request) error {
				if r.Host == "sts.us-east-1.amazonaws.com" || r.URL.Host == "sts.us-east-1.amazonaws.com" {
					r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIANOBODY0000000000/20000102/us-east-1/sts/aws4_request, SignedHeaders=host, Signature=00")
				}
				return nil
			}
			return configure("awsKms", m)
		}},
	}
}
