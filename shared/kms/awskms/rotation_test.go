package awskms_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	sdkkms "github.com/aws/aws-sdk-go-v2/service/kms"

	"latchkey/shared/kms"
	"latchkey/shared/kms/awskms"
)

func (w *world) rotate(key string) {
	w.t.Helper()
	_, err := w.kms.RotateKeyOnDemand(w.ctx(), &sdkkms.RotateKeyOnDemandInput{KeyId: &key})
	w.must(err)
}

func (w *world) dates(k *kms.Key) kms.Dates {
	w.t.Helper()
	return must(k.Dates(w.ctx()))(w.t)
}

func TestAnAutomaticRotationCountsAsOneOnDemandDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		arn := w.newKey()
		born := time.Now()
		_, err := w.kms.EnableKeyRotation(w.ctx(), &sdkkms.EnableKeyRotationInput{KeyId: &arn, RotationPeriodInDays: aws.Int32(90)})
		w.must(err)
		k := w.open(w.asUser(), arn)
		time.Sleep(91 * 24 * time.Hour)
		if d := w.dates(k); d.Rotated.Sub(born.Add(90*24*time.Hour)).Abs() > 24*time.Hour || !d.Created.Equal(born) {
			t.Errorf("%+v", d)
		}
		w.rotate(arn)
		if d := w.dates(k); time.Since(d.Rotated) > time.Minute {
			t.Errorf("after a rotation on demand: %+v", d)
		}
	})
}

// A permission that a tenant need not grant is missing: the key's creation is what is known.
func TestWithoutThePermissionToSeeRotationsTheCreationCounts(t *testing.T) {
	w := newWorld(t)
	arn := w.newKey()
	w.rotate(arn)
	_, err := w.iam.PutUserPolicy(w.ctx(), &iam.PutUserPolicyInput{
		UserName: aws.String("atlas"), PolicyName: aws.String("use"),
		PolicyDocument: aws.String(strings.Replace(usePolicy, `,"kms:ListKeyRotations"`, "", 1)),
	})
	w.must(err)
	k := w.open(w.asUser(), arn)
	if d := w.dates(k); !d.Rotated.IsZero() || d.Created.IsZero() {
		t.Errorf("%+v", d)
	}
	if _, _, err := k.NewProbe(w.ctx(), "650000000000000000000001"); err != nil {
		t.Errorf("the key itself: %v", err)
	}
}

func TestAnAliasTellsTheDatesOfItsKey(t *testing.T) {
	w := newWorld(t)
	arn, name := w.newKey(), "alias/dated"
	_, err := w.kms.CreateAlias(w.ctx(), &sdkkms.CreateAliasInput{AliasName: &name, TargetKeyId: &arn})
	w.must(err)
	w.rotate(arn)
	if d := w.dates(w.open(w.asUser(), name)); d.Rotated.IsZero() {
		t.Errorf("%+v", d)
	}
}

// answering changes what KMS answers to an operation on its way to the driver.
type answering struct {
	base   http.RoundTripper
	change func(operation string, request, answer map[string]any)
}

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	resp, err := a.base.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		return resp, err
	}
	request, answer := map[string]any{}, map[string]any{}
	if err := json.Unmarshal(body, &request); err != nil {
		return nil, err
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	a.change(operation, request, answer)
	changed, err := json.Marshal(answer)
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(changed)), int64(len(changed))
	resp.Header.Del("Content-Length")
	resp.Header.Del("X-Amz-Crc32")
	return resp, err
}

func (w *world) answered(change func(operation string, request, answer map[string]any)) *awskms.Credential {
	return awskms.NewUserCredential(tenantKeys.AccessKeyID, tenantKeys.SecretAccessKey,
		awskms.Options{Transport: answering{w, change}})
}

func TestImportedMaterialTellsWhenItExpires(t *testing.T) {
	w := newWorld(t)
	end := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	c := w.answered(func(operation string, _, answer map[string]any) {
		if operation == "DescribeKey" {
			m := answer["KeyMetadata"].(map[string]any)
			m["Origin"], m["ExpirationModel"], m["ValidTo"] = "EXTERNAL", "KEY_MATERIAL_EXPIRES", end.Unix()
		}
	})
	if d := w.dates(w.open(c, w.newKey())); !d.Expires.Equal(end) {
		t.Errorf("%+v", d)
	}
}

// The newest rotation is on the last page, and what is newer still is of material that is not in use.
func TestOnlyRotationsOfTheCurrentMaterialCountOnWhateverPage(t *testing.T) {
	w := newWorld(t)
	arn := w.newKey()
	w.rotate(arn)
	current := *must(w.kms.DescribeKey(w.ctx(), &sdkkms.DescribeKeyInput{KeyId: &arn}))(t).KeyMetadata.CurrentKeyMaterialId
	at := func(days int) int64 { return time.Date(2026, 1, days, 0, 0, 0, 0, time.UTC).Unix() }
	pages := 0
	c := w.answered(func(operation string, request, answer map[string]any) {
		if operation != "ListKeyRotations" {
			return
		}
		pages++
		if request["Marker"] == nil {
			answer["Truncated"], answer["NextMarker"] = true, "1"
			answer["Rotations"] = []any{
				map[string]any{"KeyMaterialId": "former", "KeyMaterialState": "NON_CURRENT", "RotationDate": at(9), "RotationType": "ON_DEMAND"},
				map[string]any{"KeyMaterialId": "next", "KeyMaterialState": "PENDING_ROTATION"},
			}
			return
		}
		answer["Truncated"] = false
		answer["Rotations"] = []any{
			map[string]any{"KeyMaterialId": current, "KeyMaterialState": "CURRENT", "RotationDate": at(5), "RotationType": "AUTOMATIC"},
		}
	})
	if d := w.dates(w.open(c, arn)); d.Rotated.Unix() != at(5) || pages != 2 {
		t.Errorf("after %d pages: %+v", pages, d)
	}
}
