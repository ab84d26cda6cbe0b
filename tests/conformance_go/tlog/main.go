// A judge of exported logs that shares nothing with custodes: golang.org/x/mod/sumdb/{note,tlog} hash every entry again.
//
//	tlog DIR VKEY [PROOFS.json]      exit 0 accepted, 1 refused, 2 could not judge
//
// DIR is a static folder of tiles (C2SP tlog-tiles), VKEY the log's Ed25519 verifier key. PROOFS.json holds proofs that custodes has
// made for that size: {"inclusion": [{"index", "hashes"}], "consistency": [{"size", "root", "hashes"}]}, hashes in base64.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type stored []tlog.Hash

func (s stored) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		found[i] = s[index]
	}
	return found, nil
}

func refuse(err error, what string) {
	if err != nil {
		fmt.Println("refused:", what+":", err)
		os.Exit(1)
	}
}

func read(dir string, path string) []byte {
	data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(path)))
	refuse(err, path)
	return data
}

// path turns tile/8/L/NNN, as package tlog writes it, into tile/L/NNN.
func path(tile tlog.Tile, kind string) string {
	rest := strings.SplitN(tile.Path(), "/", 4)[3]
	return "tile/" + kind + "/" + rest
}

func main() {
	dir, vkey := os.Args[1], os.Args[2]
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		fmt.Println("no verifier key:", err)
		os.Exit(2)
	}
	tree, entries := checkpoint(dir, verifier)
	fmt.Println(tree.N, "entries,", tiles(dir, tree, entries), "tiles,", proofs(tree, entries), "proofs accepted")
}

func checkpoint(dir string, verifier note.Verifier) (tlog.Tree, stored) {
	opened, err := note.Open(read(dir, "checkpoint"), note.VerifierList(verifier))
	refuse(err, "checkpoint")
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		refuse(fmt.Errorf("%d lines, origin %q", len(lines), lines[0]), "checkpoint")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	refuse(err, "size")
	root, err := tlog.ParseHash(lines[2])
	refuse(err, "root")
	tree := tlog.Tree{N: size, Hash: root}
	entries := hashed(dir, size)
	found := tlog.Hash(sha256.Sum256(nil))
	if size > 0 {
		found, err = tlog.TreeHash(size, entries)
		refuse(err, "root")
	}
	if found != root {
		refuse(fmt.Errorf("%v, the entries make %v", root, found), "root")
	}
	return tree, entries
}

// hashed reads the entry bundles and returns all hashes of the tree above them.
func hashed(dir string, size int64) stored {
	var all stored
	for n := int64(0); n*256 < size; n++ {
		width := int64(256)
		if size-n*256 < width {
			width = size - n*256
		}
		data := read(dir, path(tlog.Tile{H: 8, L: 0, N: n, W: int(width)}, "entries"))
		for at := int64(0); at < width; at++ {
			if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
				refuse(fmt.Errorf("bundle %d ends before its entry %d", n, at), "entries")
			}
			end := 2 + int(binary.BigEndian.Uint16(data))
			fresh, err := tlog.StoredHashes(n*256+at, data[2:end], all)
			refuse(err, "entries")
			all, data = append(all, fresh...), data[end:]
		}
		if len(data) > 0 {
			refuse(fmt.Errorf("bundle %d holds more than its entries", n), "entries")
		}
	}
	return all
}

func tiles(dir string, tree tlog.Tree, entries stored) int {
	compared := 0
	for _, tile := range tlog.NewTiles(8, 0, tree.N) {
		if tile.W < 256 && int64(tile.W) != tree.N>>(8*tile.L)&255 {
			continue // a narrower tile than this size has
		}
		compared++
		made, err := tlog.ReadTileData(tile, entries)
		refuse(err, "tile")
		name := path(tile, strconv.Itoa(tile.L))
		if !bytes.Equal(read(dir, name), made) {
			refuse(fmt.Errorf("not what the entries make"), name)
		}
	}
	return compared
}

func proofs(tree tlog.Tree, entries stored) int {
	if len(os.Args) < 4 {
		return 0
	}
	var given struct {
		Inclusion []struct {
			Index  int64
			Hashes []tlog.Hash
		}
		Consistency []struct {
			Size   int64
			Root   tlog.Hash
			Hashes []tlog.Hash
		}
	}
	data, err := os.ReadFile(os.Args[3])
	refuse(err, "proofs")
	refuse(json.Unmarshal(data, &given), "proofs")
	for _, one := range given.Inclusion {
		leaf := entries[tlog.StoredHashIndex(0, one.Index)]
		refuse(tlog.CheckRecord(one.Hashes, tree.N, tree.Hash, one.Index, leaf), "inclusion of "+strconv.FormatInt(one.Index, 10))
	}
	for _, one := range given.Consistency {
		what := "consistency with " + strconv.FormatInt(one.Size, 10) + " " + base64.StdEncoding.EncodeToString(one.Root[:])
		refuse(tlog.CheckTree(one.Hashes, tree.N, tree.Hash, one.Size, one.Root), what)
	}
	return len(given.Inclusion) + len(given.Consistency)
}
