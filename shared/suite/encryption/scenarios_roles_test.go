package encryption_test

import (
	"net/http"
	"strings"

	"latchkey/local/pocket"
	"latchkey/local/pocket/pockettest"
	"latchkey/shared/atlas"
)

func generalScenarios() []scenario {
	always := func(body string) func(*world) request { return func(*world) request { return patch(body) } }
	return []scenario{
		{
			code: atlas.MissingEARProvider, when: "no provider", prepare: always(`{}`), params: `[]`,
			detail: "At least one Encryption at Rest provider must be specified.",
		},
		{code: atlas.CannotRotateDisabled, when: "another key for a provider that is off", params: `["AWS"]`, prepare: always(`{"awsKms":{"customerMasterKeyID":"x"}}`)},
		{code: atlas.MissingAttribute, when: "no region", params: `["region"]`, prepare: awsWith(members{"region": nil})},
		{code: atlas.MissingAttributes, when: "nothing but enabled", prepare: always(`{"azureKeyVault":{"enabled":true}}`)},
		{code: atlas.MalformedJSON, when: "no JSON", params: `[]`, prepare: always(`{`)},
		{code: atlas.InvalidJSONAttribute, when: "a member of another type", prepare: always(`{"awsKms":{"enabled":"yes"}}`)},
		{code: atlas.RequestTooLarge, when: "a body of more than 1 MiB", prepare: always(`{"x":"` + strings.Repeat("x", 1<<20) + `"}`)},
		{code: atlas.ConcurrentModification, when: "another update meanwhile", params: `[]`, prepare: func(w *world) request {
			m := w.byAWSRole(w.awsKey())
			role := m["roleId"].(string)
			inAWS := false
			w.wire.fail = func(_ int, r *http.Request) error {
				if !inAWS && strings.HasPrefix(r.URL.Host, "kms.") {
					inAWS = true
					w.mustSend(authorizeAWS(role)) // the role changes while the key is being proved
					w.named = role
				}
				return nil
			}
			return configure("awsKms", m)
		}},
		{code: atlas.RoleNotFound, when: "configuration names an unknown role", params: `["65000000000000000000ffff"]`, prepare: awsWith(members{"roleId": "65000000000000000000ffff"})},
		{code: atlas.RoleNotFound, when: "configuration names a role of another provider", prepare: func(w *world) request {
			m := w.byAWSRole(w.awsKey())
			made := w.mustSend(request{http.MethodPost, roles, `{"providerName":"GCP"}`})
			return configure("awsKms", m.with(members{"roleId": made.body["roleId"]}))
		}},
		{
			code: atlas.RoleNotAuthorized, when: "configuration names a role that is not authorized", params: `["%s"]`,
			prepare: func(w *world) request {
				m := w.byAWSRole(w.awsKey())
				w.named, _ = w.newAWSRole()
				return configure("awsKms", m.with(members{"roleId": w.named}))
			},
		},
	}
}

func roleScenarios() []scenario {
	return []scenario{
		{code: atlas.RoleNotFound, when: "unknown role", params: `["65000000000000000000ffff"]`, prepare: func(*world) request {
			return request{http.MethodGet, roles + "/65000000000000000000ffff", ""}
		}},
		{
			code: atlas.CannotAssumeRole, when: "authorization of a role that does not trust Latchkey", params: `["` + roleARN + `"]`,
			detail: "Atlas cannot assume the specified role (" + roleARN + ").",
			prepare: func(w *world) request {
				id, _ := w.newAWSRole()
				w.makeIAMRole("another external id")
				return authorizeAWS(id)
			},
		},
		{code: atlas.CannotAssumeRole, when: "authorization of a role that does not exist", params: `["` + roleARN + `"]`, prepare: func(w *world) request {
			id, _ := w.newAWSRole()
			return authorizeAWS(id)
		}},
		{code: atlas.ServiceUnavailable, when: "authorization while STS is down", prepare: func(w *world) request {
			id, _ := w.newAWSRole()
			w.Faults.Set(pocket.Fault{Host: "sts.us-east-1.amazonaws.com", Kind: pocket.Down})
			return authorizeAWS(id)
		}},
		{
			code: atlas.RoleInUse, when: "removal of a role in use", detail: "Cannot remove the AWS IAM role because it is still in use.",
			params: `["Cannot remove the AWS IAM role (%s) because it is still in use."]`,
			prepare: func(w *world) request {
				m := w.byAWSRole(w.awsKey())
				w.mustSend(configure("awsKms", m))
				w.named = m["roleId"].(string)
				return request{http.MethodDelete, roles + "/AWS/" + w.named, ""}
			},
		},
		{code: atlas.ServicePrincipalInUse, when: "removal of a service principal in use", prepare: func(w *world) request {
			m, _ := w.byAzureRole(w.azureKey(""))
			w.mustSend(configure("azureKeyVault", m))
			return request{http.MethodDelete, roles + "/AZURE/" + m["roleId"].(string), ""}
		}},
		{code: atlas.ServiceAccountInUse, when: "removal of a service account in use", prepare: func(w *world) request {
			m, _ := w.byGoogleRole(w.googleVersion())
			w.mustSend(configure("googleCloudKms", m))
			return request{http.MethodDelete, roles + "/GCP/" + m["roleId"].(string), ""}
		}},
		{code: atlas.CannotAuthenticateSP, when: "authorization without a service principal", prepare: func(w *world) request {
			const principal = "6f1b0000-0000-4000-8000-00000000dead"
			made := w.mustSend(request{http.MethodPost, roles, azureRole(principal)})
			return request{http.MethodPatch, roles + "/" + made.body["_id"].(string), azureRole(principal)}
		}},
		{code: atlas.AzureServicePrincipalInvalid, when: "authorization with another object id", prepare: func(w *world) request {
			w.admitAzure()
			const principal = "6f1b0000-0000-4000-8000-00000000dead"
			made := w.mustSend(request{http.MethodPost, roles, azureRole(principal)})
			return request{http.MethodPatch, roles + "/" + made.body["_id"].(string), azureRole(principal)}
		}},
		{
			code: atlas.EARProviderNotSupported, when: "role of a cloud in which the operator has no identity", params: `["GCP"]`,
			prepare: func(*world) request { return request{http.MethodPost, roles, `{"providerName":"GCP"}`} },
			options: []option{func(w *world, _ *pockettest.Options) { w.withoutGoogle = true }},
		},
		{code: atlas.InvalidEnumValue, when: "role of an unknown provider", params: `["ORACLE"]`, prepare: func(*world) request {
			return request{http.MethodPost, roles, `{"providerName":"ORACLE"}`}
		}},
	}
}
