package dynamo

import (
	"encoding/json"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/shared/store"
)

// Image is an item as the table's stream shows it (NewImage): attributes by name, each with its type.
type Image map[string]imageValue

// imageValue is an attribute of one of the three types that items have.
type imageValue struct {
	S *string `json:"S"`
	N *string `json:"N"`
	B []byte  `json:"B"`
}

// Item is the item that the image shows. An error means that something else wrote into the table.
func (i Image) Item() (store.Item, error) {
	attributes := make(map[string]types.AttributeValue, len(i))
	for name, v := range i {
		switch {
		case v.S != nil:
			attributes[name] = text(*v.S)
		case v.N != nil:
			attributes[name] = &types.AttributeValueMemberN{Value: *v.N}
		case v.B != nil:
			attributes[name] = &types.AttributeValueMemberB{Value: v.B}
		default:
			attributes[name] = &types.AttributeValueMemberNULL{}
		}
	}
	return new(packer).decode(attributes)
}

// ImageOf is the image that the stream shows of an item of the given version.
func ImageOf(item store.Item) Image {
	image := Image{}
	item.Version-- // encode renders what a put stores
	for name, v := range new(packer).encode(item, "") {
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			image[name] = imageValue{S: &v.Value}
		case *types.AttributeValueMemberN:
			image[name] = imageValue{N: &v.Value}
		case *types.AttributeValueMemberB:
			image[name] = imageValue{B: v.Value}
		}
	}
	return image
}

// KeysOf is what the stream shows of an item's key (Keys).
func KeysOf(key store.Key) Image {
	return Image{pkAttribute: {S: &key.PK}, skAttribute: {S: &key.SK}}
}

// MarshalJSON writes the attribute as DynamoDB does: with its type and nothing else.
func (v imageValue) MarshalJSON() ([]byte, error) {
	switch {
	case v.N != nil:
		return json.Marshal(map[string]string{"N": *v.N})
	case v.B != nil:
		return json.Marshal(map[string][]byte{"B": v.B})
	}
	s := ""
	if v.S != nil {
		s = *v.S
	}
	return json.Marshal(map[string]string{"S": s})
}
