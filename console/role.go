package console

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"latchkey/console/client"
	"latchkey/shared/atlas"
)

// roleView is the page of a role: what is done in the tenant's cloud, and whether it worked.
type roleView struct {
	GroupID  string
	Role     accessRole
	Owns     bool
	From     string
	Action   string
	Fields   []Field
	Trust    []Document // AWS: for a new IAM role
	Existing *Document  // AWS: for one that is there
	Admit    *Document  // Azure
	Grant    []Document // Google
	Help     []string   // after a refusal
	Next     string     // where it is used, once it works
}

func loadRole(v *Visit) (any, error) {
	view := roleView{GroupID: v.GroupID(), From: v.Query("from")}
	if v.Sent() {
		view.From = v.Form("from")
	}
	var rights Rights
	if err := Together(into(&view.Role, v.oneRole), into(&rights, v.Rights)); err != nil {
		return nil, err
	}
	r := view.Role
	view.Owns, view.Action = rights.Owns(), v.Page("roles", r.ID())
	v.Title = r.Word()
	if r.Ready() && !r.Used() && view.Owns {
		view.Next = v.backFrom(strings.TrimPrefix(view.From, fromList), r.Provider, r.ID())
	}
	switch r.Provider {
	case atlas.AWS:
		statement := awsTrustStatement(r.Account, r.ExternalID)
		view.Trust, view.Existing = []Document{AWSTrustPolicy(r.Account, r.ExternalID), AWSCreateRole("")}, &statement
		view.Fields = []Field{v.Field(Field{
			Name: "iamAssumedRoleArn", Label: "ARN of the IAM role", Hint: "arn:aws:iam::<account>:role/<name>", Value: text(r.ARN),
			Required: true, Mono: true, Check: v.Page("roles", r.ID(), "check", "iamAssumedRoleArn"),
		})}
	case atlas.Azure:
		admit := AzureServicePrincipal(r.App)
		view.Admit, view.Fields = &admit, azureRoleFields(v, r.ID(), r)
	case atlas.GCP:
		view.Grant = GoogleDocuments(GoogleKeyUse{ServiceAccount: r.Email})
	}
	if v.Failure != nil {
		view.Help = roleHelp[v.Failure.Code]
	}
	return view, nil
}

// awsTrustStatement is what the trust policy of an IAM role that is there already needs more.
func awsTrustStatement(account, externalID string) Document {
	return Document{
		ID: "trust-statement", Label: "Statement for the trust policy",
		Where: "Add it to the list of statements. Latchkey's account is the same for all its customers, and purpose-limited; the external ID belongs " +
			"to this access role alone, and keeps other customers from naming your role. Neither is secret.",
		Text: indented(awsStatement{
			Effect: "Allow", Principal: map[string]string{"AWS": or(account, placePrincipal)}, Action: "sts:AssumeRole",
			Condition: map[string]any{"StringEquals": map[string]string{"sts:ExternalId": or(externalID, placeExternal)}},
		}),
	}
}

// roleHelp is what to look at after a refusal.
var roleHelp = map[atlas.Code][]string{
	atlas.CannotAssumeRole: {
		"The ARN is that of the role whose trust policy you changed.",
		"The trust policy names Latchkey's account as Principal, and the action sts:AssumeRole.",
		"The condition has exactly the external ID above, and no statement lets the account in without one.",
		"The change was saved. AWS may take a minute until it is in force: then choose Validate and finish again.",
	},
	atlas.CannotAuthenticateSP: {
		"The line above was run in the directory whose ID you gave, by somebody who may admit applications.",
		"The service principal is not disabled there.",
		"Azure may take some minutes until a new one can sign in: then choose Validate and finish again.",
	},
	atlas.AzureServicePrincipalInvalid: {
		"The ID is the object ID of the service principal (Enterprise applications in the portal), not that of the application, which is shown beside it.",
	},
}

// authorizeRole has the API try the role, and leads back to where the role was wanted.
func authorizeRole(v *Visit) (string, error) {
	r, err := v.oneRole()
	if err != nil {
		return "", err
	}
	body := map[string]string{"providerName": string(r.Provider)}
	switch r.Provider {
	case atlas.AWS:
		body["iamAssumedRoleArn"] = v.Form("iamAssumedRoleArn")
		if _, err := atlas.ParseAWSRole(body["iamAssumedRoleArn"]); err != nil {
			return "", Refuse("Name the IAM role.", map[string]string{"iamAssumedRoleArn": notRole})
		}
	case atlas.Azure:
		if err := v.azureRole(body); err != nil {
			return "", err
		}
	case atlas.GCP: // it needs no authorisation
	}
	if err := v.API.Do(v.Context(), http.MethodPatch, v.Group("cloudProviderAccess", r.ID()), body, nil); err != nil {
		return "", besideRoleField(err)
	}
	v.Say("The access role works, and is authorised.")
	return v.backFrom(v.Form("from"), r.Provider, r.ID()), nil
}

const notRole = "It must be the ARN of an IAM role: arn:aws:iam::<account>:role/<name>."

// roleField is the field that a code of the API is about.
var roleField = map[atlas.Code]string{
	atlas.CannotAssumeRole: "iamAssumedRoleArn", atlas.CannotAuthenticateSP: "tenantId", atlas.AzureServicePrincipalInvalid: "servicePrincipalId",
}

// besideRoleField puts an error of the API beside the field that it is about.
func besideRoleField(err error) error {
	e, ok := errors.AsType[*client.Error](err)
	if !ok {
		return err
	}
	name := roleField[e.Code]
	if e.Code == atlas.InvalidAttribute || e.Code == atlas.MissingAttribute {
		name = concernedBy(e, []string{"iamAssumedRoleArn", "servicePrincipalId", "tenantId"})
	}
	if name == "" {
		return err
	}
	told := *e
	told.Fields = append(slices.Clone(e.Fields), atlas.FieldError{Field: name, Description: e.Detail + " (" + string(e.Code) + ")"})
	return &told
}

// loadRoleNote checks a field of a role as it is typed.
func loadRoleNote(v *Visit) (any, error) {
	name := v.Param("member")
	value := v.Form(name)
	switch {
	case value == "":
		return Note{}, nil
	case name == "iamAssumedRoleArn":
		if role, err := atlas.ParseAWSRole(value); err == nil {
			return Note{Good, "The role " + role.Name + " in the AWS account " + role.Account + "."}, nil
		}
		return Note{Bad, notRole}, nil
	case name == "servicePrincipalId", name == "tenantId":
		if !atlas.ValidUUID(value) {
			return Note{Bad, notUUID}, nil
		}
		if v.Form("servicePrincipalId") != "" && strings.EqualFold(v.Form("servicePrincipalId"), v.Form("tenantId")) {
			return Note{Warning, "Both fields have the same ID."}, nil
		}
	}
	return Note{}, nil
}
